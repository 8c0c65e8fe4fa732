"""What a Word file's styles say about headings, hidden text and numbering, along their chains of inheritance."""

from typing import Final

from aegis_dagster.parsing.word.names import P_PR, R_PR, VAL, Element, W, is_on, number

_DEEPEST: Final = 20  # chains of styles are short; a longer one is a circle


class Styles:
    """The styles of a document, by their ids. `root` is the part's root, or None for a document without styles."""

    def __init__(self, root: Element | None) -> None:
        self._styles: dict[str, Element] = {}
        self._default: str | None = None
        self.any_hidden = False
        for style in root.iter(W + "style") if root is not None else ():
            identifier = style.get(W + "styleId", "")
            self._styles.setdefault(identifier, style)
            if style.get(W + "type") == "paragraph" and style.get(W + "default") in ("1", "true", "on"):
                self._default = identifier
            if is_on(style.find(f"{R_PR}/{W}vanish")):
                self.any_hidden = True
        self._chains: dict[str, tuple[Element, ...]] = {}
        self._headings: dict[str, bool] = {}

    def of(self, paragraph: Element) -> str | None:
        """The id of a paragraph's style."""
        style = paragraph.find(f"{P_PR}/{W}pStyle")
        return style.get(VAL) if style is not None else self._default

    def hides(self, style: str | None) -> bool | None:
        """Whether a style hides its text; None if it says nothing."""
        for link in self.chain(style):
            switch = link.find(f"{R_PR}/{W}vanish")
            if switch is not None:
                return is_on(switch)
        return None

    def forget_hidden(self) -> None:
        """Take the switch out of the styles: there is no hidden text any more, and docling would look for it."""
        for style in self._styles.values():
            for switch in style.findall(f"{R_PR}/{W}vanish"):
                switch.getparent().remove(switch)

    def is_heading(self, paragraph: Element) -> bool:
        """Whether a paragraph is a title or a heading by its style or its own level in the outline."""
        own = number(paragraph.find(f"{P_PR}/{W}outlineLvl"))
        if own is not None and own < 9:
            return True
        style = self.of(paragraph)
        if style is None:
            return False
        if style not in self._headings:
            self._headings[style] = any(_is_heading(link) for link in self.chain(style))
        return self._headings[style]

    def chain(self, style: str | None) -> tuple[Element, ...]:
        """A style and those that it is based on, nearest first."""
        if style is None:
            return ()
        if style not in self._chains:
            links: list[Element] = []
            following: str | None = style
            while following in self._styles and len(links) < _DEEPEST:
                links.append(self._styles[following])
                base = links[-1].find(W + "basedOn")
                following = base.get(VAL) if base is not None else None
            self._chains[style] = tuple(links)
        return self._chains[style]


def _is_heading(style: Element) -> bool:
    name = style.find(W + "name")
    names = (style.get(W + "styleId", "").lower(), (name.get(VAL, "") if name is not None else "").lower())
    level = number(style.find(f"{P_PR}/{W}outlineLvl"))
    return any(said.startswith(("heading", "title")) for said in names) or (level is not None and level < 9)
