"""Rewrites a page so that its reader finds every text: alternative texts, footers, formulas, values of forms.

What a browser does not show is taken out, and told. Imports bs4: load it in a worker.
"""

import re
from collections.abc import Callable
from typing import Final

from bs4 import BeautifulSoup
from bs4.element import CData, NavigableString, PageElement, Tag

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.web.page_tree import read_tree

_HIDDEN_STYLE: Final = re.compile(r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)", re.IGNORECASE)
_EMPHASIS: Final = frozenset({"b", "strong", "i", "em", "u", "mark", "font", "span", "small", "big"})
_UNSHOWN: Final = frozenset({"script", "style"})
_RAISED: Final = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
_EXPONENT: Final = re.compile(r"[+-]?\d{1,3}")
_UNIT: Final = re.compile(r"(?:\b[A-Za-zµΩ]{1,3}|\d|\))$")


def rewrite(page: BeautifulSoup) -> list[LeftOut]:
    """Rewrite a page in place. Returns the texts of what is hidden in it."""
    left_out: list[LeftOut] = []
    _take_out_hidden(page, left_out)
    for node in list(page.descendants):
        if isinstance(node, CData):
            node.replace_with(NavigableString(str(node)))
        if not isinstance(node, Tag) or node.decomposed or node.parent is None:
            continue
        if rule := _RULES.get(node.name):
            rule(node)
        elif node.name in _EMPHASIS and _is_inside_word(node):
            node.unwrap()
            continue
        if node.attrs:
            _show_label(node)
            if "style" in node.attrs and "list-style-type" not in str(node["style"]):
                del node["style"]  # what is still here is shown: an element that fades in, too
    _join_texts(page)
    return left_out


def take_title(page: BeautifulSoup) -> str:
    """The title in the page's head, on one line, taken out of it."""
    for title in page.find_all("title"):
        if title.find_parent("svg") is None:
            text = " ".join(title.get_text(" ").split())
            title.decompose()
            return text
    return ""


def put_title(page: BeautifulSoup, title: str, heading: str = "h1") -> None:
    """Let the page begin with its title, unless a heading says the same: as heading where it has no other."""
    body = page.body or page
    headings = body.find_all(["h1", "h2", "h3", "h4", "h5", "h6"])
    known = {" ".join(found.get_text(" ").split()).casefold() for found in headings}
    if title and title.casefold() not in known:
        element = page.new_tag("p" if any(found.name == "h1" for found in headings) else heading)
        element.string = title
        body.insert(0, element)


def _take_out_hidden(page: BeautifulSoup, left_out: list[LeftOut]) -> None:
    if not any(_is_shown(node) for node in page.descendants):
        for tag in page.find_all("noscript"):
            tag.name = "div"
    hidden = [node for node in page.descendants if isinstance(node, Tag) and _is_hidden(node)]
    for tag in hidden:
        if tag.decomposed:
            continue
        if text := " ".join(" ".join(tag.stripped_strings).split()):
            left_out.append(LeftOut(Reason.HIDDEN_TEXT, f"hidden element <{tag.name}>", text))
        tag.decompose()


def _is_shown(node: PageElement) -> bool:
    """Whether this is text that a browser with scripts may show."""
    return _is_text(node) and bool(str(node).strip()) and node.find_parent(["noscript", "head"]) is None


def _is_hidden(tag: Tag) -> bool:
    if tag.name == "noscript":
        return True
    if tag.name == "template":
        return str(tag.get("shadowrootmode", "")).lower() not in ("open", "closed")
    if not tag.attrs or tag.name in ("html", "body"):
        return False
    if tag.has_attr("hidden") or str(tag.get("aria-hidden", "")).strip().lower() == "true":
        return True
    return "style" in tag.attrs and _HIDDEN_STYLE.search(str(tag["style"])) is not None


def _attribute(tag: Tag, *names: str) -> str:
    """The first of the attributes that is not empty, on one line."""
    return next((value for name in names if (value := " ".join(str(tag.get(name, "")).split()))), "")


def _show_label(tag: Tag) -> None:
    """Write the label of an element that shows nothing else into it."""
    label = _attribute(tag, "aria-label", "title") if {"aria-label", "title"} & tag.attrs.keys() else ""
    if label and tag.name not in ("img", "input", "html", "body", "link", "br", "hr", *_UNSHOWN):
        shows = any(text.strip() for text in tag.strings) or tag.find(["img", "input"]) is not None
        if not shows:
            tag.clear()
            tag.append(label)


def _is_inside_word(tag: Tag) -> bool:
    """Whether the element marks part of a word, which its reader would divide."""
    text = tag.get_text()
    before, after = tag.previous_sibling, tag.next_sibling
    return bool(text) and (
        (_is_text(before) and str(before)[-1:].isalnum() and text[0].isalnum())
        or (_is_text(after) and str(after)[:1].isalnum() and text[-1].isalnum())
    )


def _join_texts(page: BeautifulSoup) -> None:
    """Make one text of those side by side: their reader would put spaces between them."""
    for node in list(page.descendants):
        if not _is_text(node) or not _is_text(node.next_sibling) or _is_text(node.previous_sibling):
            continue
        texts = [str(node)]
        while _is_text(following := node.next_sibling) and following is not None:
            texts.append(str(following.extract()))
        node.replace_with("".join(texts))


def _is_text(node: PageElement | None) -> bool:
    return type(node) is NavigableString


def _image(tag: Tag) -> None:
    text, tip = _attribute(tag, "alt", "aria-label"), _attribute(tag, "title")
    if tip and tip.casefold() not in text.casefold():
        text = f"{text} ({tip})" if text else tip
    if text:
        tag["alt"] = text
    if not str(tag.get("src", "")).startswith("data:image/"):
        del tag["src"]  # nothing outside the file is read
    figure = tag.find_parent("figure")
    caption = figure.find("figcaption", recursive=False) if figure is not None else None
    if text and caption is not None and text.casefold() not in " ".join(caption.get_text(" ").split()).casefold():
        _add_text(tag, text)


def _add_text(tag: Tag, text: str) -> None:
    """Put a paragraph after an element, or after the paragraph that it is in."""
    paragraph = Tag(name="p")
    paragraph.string = text
    (tag.find_parent("p") or tag).insert_after(paragraph)


def _area(tag: Tag) -> None:
    if text := _attribute(tag, "alt", "aria-label", "title"):
        _add_text(tag, text)


def _input(tag: Tag) -> None:
    kind = str(tag.get("type", "text")).lower()
    label = _attribute(tag, "value", "alt", "placeholder", "aria-label", "title")
    del tag["name"]  # its reader would show it for want of a value
    if kind == "password":
        del tag["value"]
    elif kind not in ("checkbox", "radio", "hidden") and label:
        tag["value"] = label
    elif kind not in ("checkbox", "radio"):
        tag.decompose()


def _abbreviation(tag: Tag) -> None:
    if (meaning := _attribute(tag, "title")) and meaning.casefold() not in tag.get_text().casefold():
        tag.append(f" ({meaning})")


def _option_group(tag: Tag) -> None:
    if label := _attribute(tag, "label"):
        element = Tag(name="option")
        element.string = label
        tag.insert(0, element)


def _option(tag: Tag) -> None:
    if not tag.get_text(strip=True) and (label := _attribute(tag, "label")):
        tag.string = label


def _formula(tag: Tag) -> None:
    """The symbols of a formula in a line, and its TeX or its wording if the page has that."""
    notes = tag.find_all(["annotation", "annotation-xml"])
    tex = next((note.get_text() for note in notes if "tex" in str(note.get("encoding", "")).lower()), "")
    for note in notes:
        note.decompose()
    text, shown = " ".join(tex.split()) or _attribute(tag, "alttext"), " ".join(tag.stripped_strings)
    same = "".join(text.split()) == "".join(shown.split())
    tag.string = shown if same or not text else f"{shown} (${text}$)" if shown else f"${text}$"
    tag.unwrap()


def _raised(tag: Tag) -> None:
    """An exponent stays at its unit; a reference to a note stands apart, as its reader has it."""
    before = tag.previous_sibling
    text = tag.get_text().strip()
    if _is_text(before) and _EXPONENT.fullmatch(text) and tag.find("a") is None and _UNIT.search(str(before)):
        tag.string = text.translate(_RAISED)
        tag.unwrap()


def _lowered(tag: Tag) -> None:
    if _is_inside_word(tag):
        tag.unwrap()


def _ruby(tag: Tag) -> None:
    """The reading in brackets behind its characters."""
    for bracket in tag.find_all("rp"):
        bracket.decompose()
    for reading in tag.find_all("rt"):
        reading.replace_with(f"({reading.get_text(strip=True)})")
    tag.string = "".join(tag.get_text().split())
    tag.unwrap()


def _frame(tag: Tag) -> None:
    """A frame with the page that it holds itself; one from elsewhere is only named."""
    inner = str(tag.get("srcdoc", ""))
    name = _attribute(tag, "title", "aria-label")
    tag.name = "div"
    tag.attrs = {}
    if inner:
        tree = read_tree(inner)
        _take_out_hidden(tree, [])
        tag.clear()
        for node in list((tree.body or tree).contents):
            tag.append(node.extract())
    if name:
        tag.insert(0, name)


def _table(tag: Tag) -> None:
    """Only rows and a caption are read in a table: what else stands in it goes before it."""
    for section in tag.find_all(["form", "tfoot", "tbody", "thead"], recursive=False):
        section.unwrap()
    for row in tag.find_all("tr", recursive=False):
        for form in row.find_all("form", recursive=False):
            form.unwrap()
        _move_before(tag, [node for node in row.contents if not _is_named(node, "td", "th")])
    for cell in tag.find_all(["td", "th"], recursive=False):
        cell.wrap(Tag(name="tr"))
    _move_before(tag, [node for node in tag.contents if not _is_named(node, "tr", "caption")])


def _is_named(node: PageElement, *names: str) -> bool:
    return isinstance(node, Tag) and node.name in names


def _move_before(tag: Tag, nodes: list[PageElement]) -> None:
    for node in nodes:
        text = node.get_text(strip=True) if isinstance(node, Tag) else str(node).strip()
        if text and (isinstance(node, Tag) or type(node) is NavigableString):
            tag.insert_before(node.extract())


def _as_division(tag: Tag) -> None:
    tag.name = "div"


_RULES: Final[dict[str, Callable[[Tag], None]]] = {
    "abbr": _abbreviation,
    "acronym": _abbreviation,
    "area": _area,
    "footer": _as_division,  # its reader would take it for the foot of a page
    "frame": _frame,
    "iframe": _frame,
    "img": _image,
    "input": _input,
    "math": _formula,
    "noframes": _as_division,
    "optgroup": _option_group,
    "option": _option,
    "ruby": _ruby,
    "sub": _lowered,
    "sup": _raised,
    "table": _table,
    "wbr": Tag.decompose,  # its reader would take it for a line break
}
