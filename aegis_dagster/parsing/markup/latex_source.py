"""Prepares LaTeX: takes comments out, puts in what the author's own short commands stand for, and pairs the braces.

Pure. Every step goes over the text once; what it expands is limited.
"""

import re
from typing import Final

VERBATIM: Final = ("verbatim", "verbatim*", "Verbatim", "lstlisting", "minted", "alltt", "BVerbatim", "filecontents")
_BEGIN = re.compile(r"\\begin\{(" + "|".join(map(re.escape, VERBATIM)) + r")\}")
# What may hold a percent sign that begins no comment, and then a comment.
_SIGN = re.compile(r"\\(?:url|href|path)\s*\{[^{}]*\}|\\verb\*?([^\w\s*]).*?\1|\\.|%(.*)")
_DEFINITION = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand)\*?\s*\{?\s*\\([A-Za-z]+)\s*\}?\s*(\[\d\])?\s*\{|\\def\s*\\([A-Za-z]+)\s*\{"
)
_LONGEST_BODY: Final = 2000
_MOST_EXPANDED: Final = 1_000_000  # characters, in a document
_MOST_NAMES: Final = 2000


def without_comments(text: str) -> tuple[str, list[str]]:
    """The text without its comments, and the comments."""
    comments: list[str] = []

    def take(match: re.Match[str]) -> str:
        if match[2] is None:
            return match[0]
        comments.append(match[2].strip())
        return ""

    kept: list[str] = []
    end = ""
    for line in text.split("\n"):
        if end:
            kept.append(line)
            end = "" if end in line else end
            continue
        bare = _SIGN.sub(take, line)
        # A comment of its own line leaves no empty line, which would end a paragraph.
        if bare.strip() or not line.strip():
            kept.append(bare)
        begin = _BEGIN.search(bare)
        if begin and f"\\end{{{begin[1]}}}" not in bare:
            end = f"\\end{{{begin[1]}}}"
    return "\n".join(kept), [comment for comment in comments if comment]


def expanded(text: str) -> str:
    """The text with the author's commands without arguments replaced by what they stand for."""
    bodies: dict[str, str] = {}
    closed = pairs(text) if _DEFINITION.search(text) else {}
    for match in _DEFINITION.finditer(text):
        name = match[1] or match[3]
        if match[2] is None and len(bodies) < _MOST_NAMES:
            end = closed.get(match.end() - 1, len(text))
            if end - match.end() <= _LONGEST_BODY and not re.search(
                r"\\" + name + r"(?![A-Za-z])", text[match.end() : end]
            ):
                bodies[name] = text[match.end() : end]
    if not bodies:
        return text
    # Where a definition ends, its name is not replaced: it would define something else.
    names = re.compile(r"(\\(?:(?:re)?newcommand|providecommand)\*?\s*\{?\s*|\\def\s*)?\\([A-Za-z]+)(?![A-Za-z])")
    spent = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal spent
        if match[1] is not None or match[2] not in bodies or spent > _MOST_EXPANDED:
            return match[0]
        spent += len(bodies[match[2]])
        return bodies[match[2]] + ("" if bodies[match[2]].endswith("}") else "{}")

    for _ in range(2):  # bodies name other commands
        text = names.sub(replace, text)
    return text


def pairs(text: str) -> dict[int, int]:
    """Where each opening brace is closed."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            found[opened.pop()] = match.start()
    return found
