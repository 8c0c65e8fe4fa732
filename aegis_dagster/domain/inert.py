"""Texts in messages to people: no service mentions somebody, makes a link or formats because of what they say.

Slack, Discord, Mattermost, Telegram, Teams and mail each read something else into a text, and an address does not tell
which of them reads it. So the characters that one of them obeys are replaced by others that look alike.
"""

import re

from aegis_dagster.domain.visible import visible, visible_lines

_ALIKE = str.maketrans({"<": "‹", ">": "›", "@": "＠", "*": "∗", "`": "'", "~": "∼", "[": "［", "]": "］", "|": "¦"})
# Suffixes of documents and settings that are no top-level domain: usual names can be copied from a message.
_SUFFIX = (
    "(?:pdf|docx?|pptx?|xlsx?|html?|txt|csv|rst|log|png|jpe?g|tiff?|bmp|webp|eml|ya?ml|json|xml|db)"
    r"\b(?!\.\w|/|:\d)"
)
_READ_AS_LINK = (
    (re.compile(r":(?=//)"), "∶"),
    (re.compile(r"\b(mailto|tel|sms|javascript|data|magnet|xmpp):", re.IGNORECASE), r"\1∶"),
    (re.compile(rf"(?<=[\w\-])[.。．｡](?=[^\W\d_]{{2}}|xn--)(?!{_SUFFIX})", re.IGNORECASE), "․"),
    (re.compile(r"(?<!\d)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\d)"), r"\1․\2․\3․\4"),
)
_READ_AS_MARKUP = (
    (re.compile(r"(?<![^\W_])_+(?=[^\s_](?:[\s\S]*[^\s_])?_+(?![^\W_]))"), "＿"),  # where another one could end it
    (re.compile(r"#(?=[\w#])|^#", re.MULTILINE), "＃"),
    (re.compile(r":(?=[a-z][\w+\-]*:)"), "∶"),  # :boom:
)


def inert(text: str) -> str:
    """A name or a title: one line."""
    return _inert(visible(text))


def inert_lines(text: str) -> str:
    """A text whose line breaks stay."""
    return _inert(visible_lines(text))


def _inert(text: str) -> str:
    for pattern, alike in (*_READ_AS_LINK, *_READ_AS_MARKUP):
        text = pattern.sub(alike, text)
    return text.translate(_ALIKE)
