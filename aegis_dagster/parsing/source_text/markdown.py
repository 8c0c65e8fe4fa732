"""The text of Markdown files, without the addresses of links and the tags of HTML."""

import html
import re
from collections.abc import Iterator

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.encodings import decode
from aegis_dagster.parsing.source_text.plain import pieces_by_lines

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TARGET = re.compile(r"(?<=\])\((?:<[^<>\n]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)?)")  # of `[text](target "title")`
_DEFINITION = re.compile(r"^( {0,3}\[[^\]\n]+\]:)[ \t]*\S+", re.MULTILINE)
_FENCE = re.compile(r"^( *(?:`{3,}|~{3,}))[^`\n]*$", re.MULTILINE)
_TAGS = (
    "a abbr address article aside b big blockquote br caption center cite code col colgroup dd del details dfn div dl "
    "dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 head header hr html i img ins kbd li link main mark meta "
    "nav ol p picture pre q s samp section small source span strong sub summary sup table tbody td tfoot th thead "
    "time tr tt u ul var video"
)
_TAG = re.compile(rf"</?(?:{'|'.join(_TAGS.split())})(?:\s[^<>]*)?/?>", re.IGNORECASE)


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """The lines of a text without its markup."""
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), decode(data).text)
    for pattern, replacement in ((_TARGET, "("), (_DEFINITION, r"\1"), (_FENCE, r"\1"), (_TAG, " ")):
        text = pattern.sub(replacement, text)
    yield from pieces_by_lines(html.unescape(text))
