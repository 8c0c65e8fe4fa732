"""The text of a paragraph's runs as a reader sees it: symbols, hyphens, form fields, readings, words across formats."""

import re
from collections.abc import Iterator
from typing import Final

from aegis_dagster.parsing.word.names import (
    HYPERLINK,
    R_PR,
    RUN,
    VAL,
    Element,
    P,
    T,
    W,
    detach,
    is_on,
    new_run,
    new_text,
    number,
    parent_of,
    text_of,
)
from aegis_dagster.parsing.word.symbols import symbol, symbols

_SOFT_HYPHEN: Final = "\u00ad"  # shows only where a line ends
_FIELD: Final = W + "fldChar"
_FORMULA: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath"
_BLANKS: Final = (W + "tab", W + "br", W + "cr", W + "ptab")
_SYMBOL_FONTS: Final = frozenset({"symbol", "wingdings", "wingdings 2"})
_BUTTON: Final = re.compile(r"\s*MACROBUTTON\s+\S+\s+(.*\S)\s*", re.IGNORECASE | re.DOTALL)
_LONGEST_CODE: Final = 500  # the words of a button are shorter
_RAISED: Final = str.maketrans("0123456789+-\u2212=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_RAISED_FROM: Final = frozenset("0123456789+-\u2212=()n ")
_SWITCHED: Final = frozenset({"0", "1", "true", "false", "on", "off"})
_STYLE_TYPES: Final = frozenset({"paragraph", "character", "table", "numbering", "list"})
_LINES: Final = ("single", "words", "double", "thick", "dotted", "dash", "dotDash", "dotDotDash", "wave", "none")
_HEAVY: Final = ("dottedHeavy", "dashedHeavy", "dashLong", "dashLongHeavy", "dashDotHeavy", "dashDotDotHeavy")
_KNOWN: Final = {
    "u": frozenset({*_LINES, *_HEAVY, "wavyHeavy", "wavyDouble"}),
    "vertAlign": frozenset({"baseline", "superscript", "subscript"}),
    "vMerge": frozenset({"", "restart", "continue"}),
}
_FIRST_WORD: Final = re.compile(r"\S+")
_FORMATS: Final = tuple(W + name for name in ("b", "i", "u", "strike", "vertAlign", "rStyle"))


def plain_characters(root: Element) -> None:
    """Turn what Word keeps in elements of their own into text: symbols, hyphens, readings, values of form fields."""
    for node in list(root.iter(W + "noBreakHyphen", W + "softHyphen", W + "sym", "{*}symEx")):
        replacement = _character(node)
        if replacement and node.getparent().tag == RUN:
            node.addprevious(new_text(replacement))
        detach(node)
    _space_words(root)
    for text in root.iter(T):
        if _SOFT_HYPHEN in (text.text or ""):
            text.text = text.text.replace(_SOFT_HYPHEN, "")
    _read_symbol_fonts(root)
    for ruby in list(root.iter(W + "ruby")):
        _write_reading(ruby)
    for field in list(root.iter(_FIELD)):
        if field.get(W + "fldCharType") == "begin" and (value := _value_of_field(field)):
            field.getparent().addprevious(new_run(value))
    for code in list(root.iter(W + "instrText")):
        if (button := _BUTTON.fullmatch((code.text or "")[:_LONGEST_CODE])) and code.getparent().tag == RUN:
            code.getparent().addprevious(new_run(button[1]))


def _space_words(root: Element) -> None:
    """Make the blanks spaces that docling does not read: breaks of pages, and all in a paragraph with a formula."""
    blanks = [node for node in root.iter(W + "br") if node.get(W + "type") in ("page", "column")]
    for paragraph in dict.fromkeys(parent_of(formula, P) for formula in root.iter(_FORMULA)):
        blanks += list(paragraph.iter(*_BLANKS)) if paragraph is not None else ()
    for node in blanks:
        if node.getparent() is not None and node.getparent().tag == RUN:
            node.addprevious(new_text(" "))
            detach(node)


def _character(node: Element) -> str:
    if node.tag == W + "noBreakHyphen":
        return "-"
    if node.tag == W + "softHyphen":
        return ""
    values = {key.rpartition("}")[2]: value for key, value in node.attrib.items()}
    try:
        return symbol(values.get("font", ""), int(values.get("char", ""), 16))
    except (ValueError, OverflowError):
        return ""


def _read_symbol_fonts(root: Element) -> None:
    for fonts in list(root.iter(W + "rFonts")):
        font = (fonts.get(W + "ascii") or fonts.get(W + "hAnsi") or "").lower()
        run = fonts.getparent().getparent()
        if font in _SYMBOL_FONTS and run is not None and run.tag == RUN:
            for text in run.iterchildren(T):
                text.text = symbols(font, text.text or "")


def _write_reading(ruby: Element) -> None:
    """East Asian texts give the reading above a word: it goes behind the word, in brackets."""
    base, reading = ruby.find(W + "rubyBase"), ruby.find(W + "rt")
    word = text_of(base) if base is not None else ""
    said = text_of(reading) if reading is not None else ""
    if ruby.getparent().tag == RUN:
        ruby.addprevious(new_text(f"{word}({said})" if said else word))
    detach(ruby)


def _value_of_field(field: Element) -> str:
    """The value of a form field that does not show it itself."""
    data = field.find(W + "ffData")
    if data is None or _has_result(field):
        return ""
    box, choices, entry = (data.find(W + name) for name in ("checkBox", "ddList", "textInput"))
    if box is not None:
        checked = box.find(W + "checked")
        return "\u2612" if is_on(checked if checked is not None else box.find(W + "default")) else "\u2610"
    if choices is not None:
        entries = [item.get(VAL, "") for item in choices.iterfind(W + "listEntry")]
        chosen = number(choices.find(W + "result"))
        chosen = number(choices.find(W + "default")) if chosen is None else chosen
        return entries[chosen or 0] if 0 <= (chosen or 0) < len(entries) else ""
    default = entry.find(W + "default") if entry is not None else None
    return default.get(VAL, "") if default is not None else ""


def _has_result(field: Element) -> bool:
    run = field.getparent()
    for following in run.itersiblings():
        if next(following.iter(T), None) is not None:
            return True
        end = following.find(_FIELD)
        if end is not None and end.get(W + "fldCharType") in ("begin", "end"):
            return False
    return False


def mend_values(root: Element) -> None:
    """Take out values that the file format does not know: docling refuses the whole document for one of them."""
    for switch in root.iter(W + "b", W + "i", W + "strike", W + "vanish"):
        if switch.get(VAL, "1") not in _SWITCHED:
            del switch.attrib[VAL]
    for tag, known in _KNOWN.items():
        for node in list(root.iter(W + tag)):
            if node.get(VAL, "") not in known:
                detach(node)
    for style in root.iter(W + "style"):
        if style.get(W + "type", "paragraph") not in _STYLE_TYPES:
            del style.attrib[W + "type"]
    for start in list(root.iter(W + "start")):
        if start.getparent().tag == W + "lvl" and number(start) is None:
            detach(start)


def join_words(root: Element) -> None:
    """Move the borders between formats to the nearest space: docling writes a space at each of them."""
    for shift in list(root.iter(W + "vertAlign")):
        run = shift.getparent().getparent()
        if shift.get(VAL) == "superscript" and run.tag == RUN and _RAISED_FROM.issuperset(text_of(run)):
            for text in run.iterchildren(T):
                text.text = (text.text or "").translate(_RAISED)
            detach(shift)
    formatted: dict[Element, None] = {}
    for properties in root.iter(R_PR):
        run = properties.getparent()
        if run.tag == RUN and any(properties.find(tag) is not None for tag in _FORMATS):
            formatted[run.getparent()] = None
    for paragraph in formatted:
        if paragraph.tag == P:
            _join_words_of(paragraph)


def _join_words_of(paragraph: Element) -> None:
    last: Element | None = None  # a text that ends inside a word
    moved: list[str] = []  # the rest of its word, from the runs behind it
    for run in [*_runs(paragraph), None]:
        nodes = [node for node in run if node.tag != R_PR] if run is not None else []
        if last is not None and nodes and nodes[0].tag == T and (word := _FIRST_WORD.match(nodes[0].text or "")):
            moved.append(word[0])
            nodes[0].text = nodes[0].text[word.end() :]
        if run is None or (nodes and not (len(nodes) == 1 and nodes[0].tag == T and not nodes[0].text)):
            if last is not None and moved:
                last.text = "".join([last.text, *moved])
                moved.clear()
            last = nodes[-1] if nodes and nodes[-1].tag == T and _ends_in_word(nodes[-1]) else None


def _runs(paragraph: Element) -> Iterator[Element | None]:
    """The runs of a paragraph; None for what text cannot move across."""
    for child in paragraph:
        if child.tag == RUN:
            yield child
        elif child.tag == HYPERLINK or "math" in child.tag:
            yield None


def _ends_in_word(text: Element) -> bool:
    return bool(text.text) and not text.text[-1].isspace()
