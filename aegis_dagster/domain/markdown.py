"""Foreign text in Markdown: names, messages and bodies that say something and do nothing.

Dagster's UI renders GitHub's Markdown with react-markdown. It makes links of bare addresses *after* it has resolved
backslashes and entities, so that no escape holds them back: a character without width breaks them instead.
"""

import re

_BREAK = "\u200b"  # zero width space; a long address may be wrapped there
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
_ACTIVE = re.compile(r"[\\`*\[\]<&|~#]|(?<![^\W_])_|_(?![^\W_])")  # _ inside a word does nothing
_AT_START = re.compile(r"^(?=[-+=.)>])|^\d+(?=[.)](?:\s|$))")  # of a list, of a quotation, of the line below a heading
_ESCAPED = re.compile(r"\\([\\`*_\[\]<&|~#\-+=.)>])")

_MARKER = re.compile(r"^(\s*)(#{1,6}[ \t]+|[-*+][ \t]+|\d{1,9}[.)][ \t]+)(.*)$")


def unlinked(text: str) -> str:
    """The text in which nothing is taken for an address of a page or of mail, for logs: Dagster links these too."""
    return _ADDRESS.sub(_BREAK, text)


def escaped(text: str) -> str:
    """The text on one line, as Markdown that shows exactly its characters: anywhere in a line, and in table cells."""
    line = " ".join(text.split())
    return _AT_START.sub(r"\g<0>\\", _ACTIVE.sub(r"\\\g<0>", unlinked(line)))


def unescaped(markdown: str) -> str:
    """What a reader sees of an escaped text, for places that render no Markdown."""
    return _ESCAPED.sub(r"\1", markdown).replace(_BREAK, "")


def structure_only(markdown: str) -> str:
    """A document's own Markdown with its headings, lists and tables; links, pictures and all else become text."""
    return "\n".join(_line(line) for line in markdown.splitlines())


def fenced(code: str) -> str:
    """A block of code that no line inside it can end."""
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code}\n{fence}"


def _line(line: str) -> str:
    row = line.strip()
    if row.startswith("|"):
        if "-" in row and not row.strip("|:- "):
            return row
        cells = re.split(r"(?<!\\)\|", row.removeprefix("|").removesuffix("|"))
        return "| " + " | ".join(escaped(cell.replace("\\|", "|")) for cell in cells) + " |"
    if marked := _MARKER.match(line):
        indentation, marker, rest = marked.groups()
        return f"{indentation}{marker}{escaped(rest)}"
    return escaped(line)
