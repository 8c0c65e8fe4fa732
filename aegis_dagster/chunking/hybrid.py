"""Passages by structure first, then by tokens: what docling's HybridChunker does with the parts of a document.

The rules are docling_core's, so that its passages stay: parts that are too long are cut, long lists between their
items, and neighbours under the same headings are joined while they fit. Of every text the tokens are counted once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from aegis_dagster.chunking.passages import Passage
from aegis_dagster.chunking.splitting import TextSplitter
from aegis_dagster.chunking.tokens import TokenCounter


@dataclass(frozen=True, slots=True)
class Item:
    """An item in a part."""

    pointer: str  # JSON pointer, e.g. "#/texts/3"
    is_list_item: bool
    text: Callable[[], str]  # its Markdown if it stands alone; "" for a heading


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a document under one path of headings: a text, a list, a table, or nothing but the headings."""

    text: str
    headings: tuple[str, ...]  # outermost first
    items: Sequence[Item]


def hybrid_passages(
    parts: Iterable[Part], counter: TokenCounter, *, max_tokens: int, merge_peers: bool
) -> Iterator[Passage]:
    """The passages of a document, in reading order, each heading in at least one of them."""
    rules = _Rules(counter, max_tokens)
    fitting = [piece for part in parts for short in rules.split_list(part) for piece in rules.split_text(short)]
    for part in rules.merge(fitting) if merge_peers else fitting:
        yield Passage(part.text, part.headings, tuple(item.pointer for item in part.items))


class _Rules:
    """The rules for one document."""

    def __init__(self, counter: TokenCounter, max_tokens: int) -> None:
        self._counter = counter
        self._max = max_tokens
        self._splitter = TextSplitter(counter)
        self._line_break = counter.cost("a\nb") - counter.cost("a") - counter.cost("b")  # estimated for every text

    def split_list(self, part: Part) -> list[Part]:
        """A part with a list in it that is too long, in runs of items as long as fit; others as they are.

        docling_core puts every item on a line of its own even if all fit: a paragraph with a link in it would become
        three lines. Only long lists gain from it: their pieces keep the boxes of their own items.
        """
        if len(part.items) <= 1 or not any(item.is_list_item for item in part.items) or self._fits(part):
            return [part]
        texts = [item.text() for item in part.items]
        costs = [self._counter.cost(text) for text in texts]

        def run(start: int, end: int) -> Part:
            return Part("\n".join(filter(None, texts[start:end])), part.headings, part.items[start:end])

        runs: list[Part] = []
        start = 0
        above = self._cost(run(0, 1)) - costs[0]
        while start < len(texts):
            end, estimate = start, 0
            while end < len(texts):
                estimate += costs[end] + (self._line_break if end > start else 0)
                if estimate + above > self._max:
                    cost = self._cost(run(start, end + 1))
                    if cost > self._max:
                        break
                    estimate = cost - above
                end += 1
            end = max(end, start + 1)  # an item that does not fit alone is cut as a text
            while end > start + 1 and not self._fits(run(start, end)):
                end -= 1
            runs.append(run(start, end))
            start = end
        return runs

    def split_text(self, part: Part) -> list[Part]:
        """A part in pieces that fit with their headings, or without if there is no room beside them."""
        cost = self._cost(part)
        if cost <= self._max:
            return [part]
        room = self._max - (cost - self._counter.cost(part.text))
        while room > 0:
            pieces = [replace(part, text=text) for text in self._splitter.split(part.text, room)]
            overflow = max(map(self._cost, pieces)) - self._max
            if overflow <= 0:
                return pieces
            room -= overflow
        if part.headings:
            return self.split_text(replace(part, headings=()))
        return [replace(part, text=text) for text in self._splitter.split(part.text, self._max)]

    def merge(self, parts: Sequence[Part]) -> Iterator[Part]:
        """Neighbours under the same headings, joined as long as they fit."""
        costs = [self._counter.cost(part.text) for part in parts]

        def joined(start: int, end: int) -> Part:
            run = parts[start:end]
            items = [item for part in run for item in part.items]
            return Part("\n".join(part.text for part in run), run[0].headings, items)

        def cost_of(start: int, end: int) -> int:
            run = parts[start:end]
            return self._counter.cost_of_lines([*run[0].headings, *(part.text for part in run)])

        start = 0
        while start < len(parts):
            first = parts[start]
            above = self._cost(first) - costs[start]
            end, estimate = start + 1, costs[start]
            while end < len(parts) and parts[end].headings == first.headings:
                estimate += costs[end] + self._line_break
                if estimate + above > self._max:
                    cost = cost_of(start, end + 1)
                    if cost > self._max:
                        break
                    estimate = cost - above
                end += 1
            while end > start + 1 and cost_of(start, end) > self._max:
                end -= 1
            yield joined(start, end) if end > start + 1 else first
            start = end

    def _cost(self, part: Part) -> int:
        """The tokens of the part below its headings."""
        return self._counter.cost_of_lines([*part.headings, part.text])

    def _fits(self, part: Part) -> bool:
        return self._cost(part) <= self._max
