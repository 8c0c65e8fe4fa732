"""The text of files whose markup is characters: Markdown, AsciiDoc, LaTeX, captions.

What is taken away is what nobody sees: addresses, settings, commands, comments. What is doubtful is taken away, too:
text that is not expected is no loss.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator

from aegis_dagster.domain.left_out import Piece
from aegis_dagster.parsing.source_text.plain import pieces_by_lines
from aegis_dagster.parsing.text.encodings import decode

_Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_TAGS = (
    "a abbr address article aside b big blockquote br caption center cite code col colgroup dd del details dfn div dl "
    "dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 head header hr html i img ins kbd li link main mark meta "
    "nav ol p picture pre q s samp section small source span strong sub summary sup table tbody td tfoot th thead "
    "time tr tt u ul var video"
)
_ACCENTS = {  # of LaTeX
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "H": "\u030b", "u": "\u0306",
    "k": "\u0328", "r": "\u030a", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
_LETTERS = {
    "ss": "ß",
    "ae": "æ",
    "AE": "Æ",
    "oe": "œ",
    "OE": "Œ",
    "o": "ø",
    "O": "Ø",
    "l": "ł",
    "L": "Ł",
    "aa": "å",
    "AA": "Å",
}
# Every repetition below that others may contain has a limit, or stops where the next may begin: the time stays linear.
_GROUP = r"\{[^{}]*\}"
_OPTIONS = r"(?:\[[^\]\n]{0,300}\])*"


def _lines(match: re.Match[str]) -> str:
    """A space, and the line breaks of a match: the others keep their numbers."""
    return _apart(match[0])


def _apart(text: str) -> str:
    return " " + "\n" * text.count("\n")


def _accented(match: re.Match[str]) -> str:
    return unicodedata.normalize("NFC", match["letter"] + _ACCENTS[match["mark"]])


_MARKDOWN: tuple[_Rule, ...] = (
    # the target of `[text](target "title")`
    (re.compile(r"(?<=\])\((?:<[^<>\n]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)?)"), "("),
    # definitions of targets, but not of footnotes; the name of the target in `[text][name]`
    (re.compile(r"""^ {0,3}\[[^\^\]\n][^\]\n]*\]:[ \t]*\S+[ \t]*(?:["'(][^\n]*)?$""", re.MULTILINE), ""),
    (re.compile(r"(?<=\])\[[^\[\]\n]*\]"), ""),
    (re.compile(r"^( *(?:`{3,}|~{3,}))[^`\n]*$", re.MULTILINE), r"\1"),
    (
        re.compile(
            rf"""</?(?:{"|".join(_TAGS.split())})(?:\s(?:[^<>"]|"[^"\n]{{0,500}}"){{0,500}})?/?>""", re.IGNORECASE
        ),
        _lines,
    ),
)
_ASCIIDOC: tuple[_Rule, ...] = (
    # comments, conditions, entries of attributes, attributes of blocks
    (re.compile(r"^(?://.*|(?:if|end)\w*::.*|:!?[\w-]+!?:.*|\[.*\])$", re.MULTILINE), ""),
    (
        re.compile(
            r"\b(?:image|video|audio|include|icon)::?[^\s\[\]]{0,500}\[([^\[\],\n]{0,300})(?:,[^\[\]\n]{0,300})?\]"
        ),
        r"\1",
    ),
    (re.compile(r"\b(?:https?://|mailto:|link:|xref:|footnote:|kbd:|btn:|menu:|pass:|stem:)[^\s\[\]]{0,500}\["), "["),
    (re.compile(r"<<[^<>,\n]*,?|\[\[[^\[\]\n]*\]\]|\{[\w-]+\}|<[\d.]+>"), " "),
    (re.compile(r"(?<!\S)(?:\d*(?:\.\d+)?[+*])?[<^>]?(?:\.[<^>])?[adehlmsv]?(?=\|)"), ""),
)
_LATEX: tuple[_Rule, ...] = (
    (re.compile(r"(?<!\\)%.*"), ""),
    (re.compile(r"\\item\s*\["), " ["),
    (re.compile(r"""\\(?P<mark>['`^"~=.])\s*\{?(?P<letter>[A-Za-z])\}?"""), _accented),
    (re.compile(r"\\(?P<mark>[cvHukrdb])\{(?P<letter>[A-Za-z])\}"), _accented),
    (
        re.compile(rf"\\(?P<name>{'|'.join(_LETTERS)})(?![A-Za-z])(?:\{{\}}|[ \t])?"),
        lambda match: _LETTERS[match["name"]],
    ),
    (re.compile(rf"\\(?:begin|end){_GROUP}{_OPTIONS}(?:{_GROUP})?"), _lines),
    (re.compile(rf"\\(?:multi\w{{1,9}}|set\w{{1,9}}|rule|newcommand)\*?{_OPTIONS}{_GROUP}{_OPTIONS}{_GROUP}"), " "),
    (
        re.compile(
            r"\\(?:\w{0,9}(?:label|ref|cite|input|space|color|style|setup)|cite\w{1,9}|bib\w{1,20}|include\w{0,9}|href|url"
            rf"|color\w{{1,5}}|use\w{{1,20}}|geometry|cline|cmidrule|newtheorem)\*?{_OPTIONS}{_GROUP}"
        ),
        " ",
    ),
    (re.compile(rf"\\[A-Za-z@]+\*?{_OPTIONS}"), " "),
)  # fmt: skip
_CAPTIONS: tuple[_Rule, ...] = (
    (re.compile(r"\AWEBVTT|^NOTE\b", re.MULTILINE), ""),
    (re.compile(r"^(?:STYLE|REGION)[ \t]*\n(?:.+\n?)*", re.MULTILINE), _lines),
    (re.compile(r"^(?:\d+[ \t]*\n)?.*-->.*$", re.MULTILINE), _lines),
    (re.compile(r"<v(?:\.[^\s<>]*)?\s([^<>]*)>"), r"\1 "),
    (re.compile(r"</?[A-Za-z\d][^<>]*>|\{\\an?\d\}"), ""),
)
_COMMENTS = {"md": ("<!--", "-->"), "latex": ("\\begin{comment}", "\\end{comment}")}
_COMMENT_BLOCK = re.compile(r"^/{4,}$", re.MULTILINE)  # of AsciiDoc
_RULES = {"md": _MARKDOWN, "asciidoc": _ASCIIDOC, "latex": _LATEX, "vtt": _CAPTIONS}
_PREAMBLE = re.compile(rf"\\(?:title|author|date){_OPTIONS}\{{((?:[^{{}}]|{_GROUP}){{0,2000}})\}}")


def read(data: bytes, kind: str) -> Iterator[Piece]:
    """The lines of a text without its markup."""
    text = decode(data).text.replace("\r\n", "\n")
    if kind == "latex":
        text = _body(text)
    if kind == "asciidoc":
        blocks = _COMMENT_BLOCK.split(text)
        text = "".join(_apart(block) if at % 2 else block for at, block in enumerate(blocks))
    elif kind in _COMMENTS:
        text = _without(text, *_COMMENTS[kind])
    for pattern, replacement in _RULES[kind]:
        text = pattern.sub(replacement, text)
    yield from pieces_by_lines(text if kind == "latex" else html.unescape(text))


def _without(text: str, begin: str, end: str) -> str:
    """The text without what stands between two marks; one that is never closed is no mark."""
    parts: list[str] = []
    at = 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
        parts += [text[at:start], _apart(text[start:stop])]
        at = stop + len(end)
    return "".join([*parts, text[at:]])


def _body(text: str) -> str:
    """A LaTeX document without its preamble, but for the title and the authors."""
    preamble, begins, body = text.partition("\\begin{document}")
    if not begins:
        return text
    said = "".join(f"\n{match[1]}" for match in _PREAMBLE.finditer(preamble))
    return "\n" * max(preamble.count("\n") - said.count("\n"), 0) + said + body.partition("\\end{document}")[0]
