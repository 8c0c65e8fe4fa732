"""Documents made after public bug reports: what must be found in their chunks, and what must not."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from aegis_dagster.domain.chunks import Chunk
from aegis_dagster_tests.parsing.conftest import parse_path
from aegis_dagster_tests.support.chunked_documents import chunk_parsed
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import CORPORA

FAULTS = CORPORA / "faults"


@dataclass(frozen=True)
class Expectation:
    """A row of expect.tsv; patterns are regular expressions."""

    document: str
    present: tuple[str, ...]
    absent: tuple[str, ...]

    def __str__(self) -> str:
        return self.document


def expectations() -> list[Expectation]:
    """The rows of the table; one for its absence, which the test then reports."""
    if not (FAULTS / "expect.tsv").is_file():
        return [Expectation("", (), ())]
    with (FAULTS / "expect.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row and row[0][:1] != "#"]
    return [Expectation(row[0], _patterns(row[1]), _patterns(row[2])) for row in rows]


def _patterns(cell: str) -> tuple[str, ...]:
    return tuple(pattern for pattern in cell.split(";;") if pattern)


def found_in(chunks: list[Chunk], pattern: str) -> bool:
    """Whether a chunk or its headings match."""
    return any(re.search(pattern, text) for chunk in chunks for text in (chunk.text, *chunk.headings))


@pytest.mark.parametrize("expected", expectations(), ids=str)
def test_the_chunks_hold_what_they_must(expected: Expectation, tmp_path: Path) -> None:
    if not expected.document:
        missing(f"the shared corpora are not at {CORPORA}")
    parsed = parse_path(FAULTS / "documents" / expected.document, tmp_path / "parsed")
    chunks = chunk_parsed(parsed.folder).chunks
    assert [pattern for pattern in expected.present if not found_in(chunks, pattern)] == []
    assert [pattern for pattern in expected.absent if found_in(chunks, pattern)] == []
