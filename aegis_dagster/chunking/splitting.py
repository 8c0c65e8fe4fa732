"""Cuts a text into pieces that fit a number of tokens, losing nothing but white space."""

import re
from collections.abc import Iterator, Sequence

from aegis_dagster.chunking.tokens import TokenCounter
from aegis_dagster.domain.coverage import WORD_PIECE_LENGTH

# Where a text may be cut, best first: after line breaks, after sentences, after white space, and, within a word that
# fits no chunk, at multiples of 16 letters and digits (as coverage compares them), finally anywhere.
_CUTS = (
    re.compile(r"\n+"),
    re.compile(r"[。！？]\s*|[.!?…;][\"'”’)\]]*\s+"),
    re.compile(r"\s+"),
    re.compile(rf"[^\W_]{{1,{WORD_PIECE_LENGTH}}}|[\W_]"),
    re.compile(r".", re.DOTALL),
)
_SEPARATOR_ROW = re.compile(r"^\|(?:\s*:?-+:?\s*\|)+\s*$")


class TextSplitter:
    """Cuts texts by the tokens of one tokenizer."""

    def __init__(self, counter: TokenCounter) -> None:
        self._counter = counter

    def split(self, text: str, budget: int) -> list[str]:
        """Pieces of at most `budget` tokens each, in order, none empty.

        Rows of a Markdown table stay whole if they fit, and its header is repeated in every piece. Every other
        character is in exactly one piece, except white space at the cuts. Every character is counted a fixed number of
        times, so the time is linear in the length of the text.
        """
        pieces: list[str] = []
        for table_header, body in _tables_apart(text):
            repeat = body and self._counter.cost(table_header) <= budget // 2
            prefix = table_header if repeat else ""
            body = body if prefix else table_header + body
            atoms = list(self._atoms(body, budget - self._counter.cost(prefix)))
            pieces.extend(self._pack(atoms, budget, prefix))
        return pieces

    def _atoms(self, text: str, budget: int, level: int = 0) -> Iterator[str]:
        """Parts that fit the budget, cut at the best possible places. Joined, they are the text."""
        if self._counter.cost(text) <= budget or level == len(_CUTS):
            yield text
            return
        for part in _cut_after(_CUTS[level], text):
            yield from self._atoms(part, budget, level + 1)

    def _pack(self, atoms: Sequence[str], budget: int, prefix: str) -> Iterator[str]:
        """Join neighbouring parts into pieces as long as the budget allows."""
        costs = [self._counter.cost(atom) for atom in atoms]
        prefix_cost = self._counter.cost(prefix)
        start = 0
        while start < len(atoms):
            end, running = start + 1, prefix_cost + costs[start]
            while end < len(atoms):
                running += costs[end]
                if running > budget:
                    # The costs of parts do not add up exactly inside words: compute the true cost before giving up.
                    running = self._counter.cost(prefix + "".join(atoms[start : end + 1]))
                if running > budget:
                    break
                end += 1
            while end - 1 > start and self._counter.cost(prefix + "".join(atoms[start:end])) > budget:
                end -= 1
            piece = "".join(atoms[start:end]).strip("\n").rstrip()
            if piece.strip():
                yield prefix + piece
            start = end


def _cut_after(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The text in parts. Each part, except perhaps the last, ends with a match of the pattern."""
    start = 0
    for match in pattern.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _tables_apart(text: str) -> Iterator[tuple[str, str]]:
    """The text in runs of (table header, rows) and ("", other text)."""
    lines = text.splitlines(keepends=True)
    start = 0
    for at in range(1, len(lines)):
        if at > start and lines[at - 1].startswith("|") and _SEPARATOR_ROW.match(lines[at]):
            if at - 1 > start:
                yield "", "".join(lines[start : at - 1])
            end = at + 1
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            yield "".join(lines[at - 1 : at + 1]), "".join(lines[at + 1 : end])
            start = end
    if start < len(lines):
        yield "", "".join(lines[start:])
