"""The chunk task, which a worker process runs for one document.

The task itself imports everything heavy, so that importing this module costs nothing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aegis_dagster.chunking.passages import Passage, Place, fit_headings, to_chunks
from aegis_dagster.chunking.tokens import TokenCounter, load_tokenizer
from aegis_dagster.domain.chunks import Chunk
from aegis_dagster.domain.coverage import Coverage, Words, text_coverage
from aegis_dagster.domain.languages import LANGUAGES
from aegis_dagster.domain.left_out import LeftOut, Piece, from_json
from aegis_dagster.errors import DocumentError, FailureCode


def load(options: dict[str, Any]) -> None:
    """Load what every document needs, in the process from which workers are forked. `options`: those of the task."""
    import aegis_dagster.chunking.hybrid
    import aegis_dagster.chunking.simple  # noqa: F401
    from aegis_dagster.chunking.languages import languages_of

    load_tokenizer(Path(options["tokenizer"]))
    languages_of(["The identifier of languages reads its model when it is first asked."])


def chunk_task(payload: dict[str, Any]) -> dict[str, Any]:
    """Cut one parsed document into chunks.

    The payload: `parse_dir`, a folder with document.json and source_text.json; `descriptions`, a list of {"picture",
    "text", "described_by"}; `out_dir`, an empty folder; `options`, with `max_tokens`, `merge_peers` and `tokenizer`
    (path of a tokenizer.json); `plain`, true for the fallback; `context`, the subjects of the mails that it is attached
    to, one a line, which stand above its own headings.

    Writes chunks.json (a list of `Chunk.to_json`), document.md and report.json into `out_dir` and returns the report:
    `chunks` and `tokens` (sums), `coverage` (0..1, 4 places), `losses` (how many passages of the file are in no chunk),
    `missing` (the first of them, at most 10, with their places), `missing_sample` (the first, at most 200 characters),
    `chunker` ("hybrid" or "plain"), `languages` (passages by ISO 639-1 code), `warnings`. Equal payloads give equal
    files.

    Raises DocumentError CHUNKING_FAILED for a document that cannot be read or walked, ConfigurationError for a
    tokenizer that cannot be loaded.
    """
    folder = Path(payload["parse_dir"])
    try:
        document = (folder / "document.json").read_bytes()
    except OSError as error:
        raise _unreadable() from error
    return chunk_document(document, _source_text(folder / "source_text.json"), payload)


def chunk_document(
    document: str | bytes, source: tuple[Sequence[Piece], Sequence[LeftOut]], payload: dict[str, Any]
) -> dict[str, Any]:
    """Do what `chunk_task` does for a document that was just parsed in this process, without reading its files.

    `document` is what parsing wrote, or will write, as document.json; `source` what `source_text.json` holds: the
    pieces, and what is left out. `payload` is that of `chunk_task`; its `parse_dir` is not read. Nothing that is given
    is changed. The document is taken as text and not as an object because an object differs from what is read back
    (rounded numbers, links), and the files must be the same either way.
    """
    try:
        return _chunk(document, source, payload)
    except RecursionError as error:
        raise DocumentError(
            FailureCode.CHUNKING_FAILED,
            "The document's lists or tables are nested too deeply to be walked.",
            remedy="flatten them in the original.",
        ) from error


def _chunk(
    content: str | bytes, source: tuple[Sequence[Piece], Sequence[LeftOut]], payload: dict[str, Any]
) -> dict[str, Any]:
    from aegis_dagster.chunking.languages import languages_of

    options = payload["options"]
    counter = TokenCounter(load_tokenizer(Path(options["tokenizer"])))
    above, max_tokens = _above(payload.get("context", ""), counter, int(options["max_tokens"]))
    read = _read_simple(content, payload, counter, max_tokens) or _read(content, payload, counter, max_tokens)
    below = (replace(each, headings=(*above, *each.headings)) for each in read.passages)
    chunks = to_chunks(below, read.locate, counter, int(options["max_tokens"]))
    pieces, left_out = source
    texts = Words(_texts(chunks, read.headings))
    # The chunks hold what was parsed, with the text of scans and the descriptions of pictures; and what the file holds.
    coverage = _lesser(text_coverage(pieces, texts, left_out), text_coverage(read.pieces, texts))
    report = {
        "chunks": len(chunks),
        "coverage": round(coverage.share, 4),
        "losses": coverage.losses,
        "missing": [{"place": item.place, "text": item.text} for item in coverage.missing],
        "missing_sample": coverage.missing[0].text if coverage.missing else "",
        "chunker": "plain" if payload["plain"] else "hybrid",
        "warnings": read.warnings,
        "tokens": sum(chunk.token_count for chunk in chunks),
        LANGUAGES: languages_of(chunk.text for chunk in chunks),
    }
    out_dir = Path(payload["out_dir"])
    (out_dir / "document.md").write_text(read.markdown, "utf-8")
    (out_dir / "chunks.json").write_text(json.dumps([chunk.to_json() for chunk in chunks], ensure_ascii=False), "utf-8")
    (out_dir / "report.json").write_text(json.dumps(report, ensure_ascii=False), "utf-8")
    return report


@dataclass(frozen=True, slots=True)
class _Read:
    """A parsed document as the chunks need it."""

    markdown: str
    pieces: list[Piece]  # all its text
    headings: list[str]
    passages: Iterable[Passage]
    locate: Callable[[Iterable[str]], Place]
    warnings: list[str]


def _read_simple(content: str | bytes, payload: dict[str, Any], counter: TokenCounter, max_tokens: int) -> _Read | None:
    """The document without docling_core; None if it must read it, or if headings are to be shortened."""
    if payload["plain"] or payload["descriptions"]:
        return None
    from aegis_dagster.chunking.hybrid import hybrid_passages
    from aegis_dagster.chunking.simple import read_simple

    document = read_simple(content)
    room = _room_for_headings(payload)
    if document is None or any(counter.cost("\n".join(path)) > room for path in document.heading_paths()):
        return None
    merge = bool(payload["options"]["merge_peers"])
    passages = hybrid_passages(document.parts(), counter, max_tokens=max_tokens, merge_peers=merge)
    nowhere = Place((), (), ())  # it has neither pages nor pictures
    return _Read(document.markdown(), document.pieces(), document.headings(), passages, lambda _: nowhere, [])


def _read(content: str | bytes, payload: dict[str, Any], counter: TokenCounter, max_tokens: int) -> _Read:
    from aegis_dagster.chunking.documents import (
        PlaceFinder,
        attach_descriptions,
        document_pieces,
        heading_texts,
        load_document,
        shorten_headings,
        to_markdown,
    )

    try:
        document = load_document(content)
    except ValueError as error:
        raise _unreadable() from error
    warnings = attach_descriptions(document, payload["descriptions"])
    markdown, pieces, headings = to_markdown(document), document_pieces(document), heading_texts(document)
    warnings += shorten_headings(document, counter, _room_for_headings(payload))
    if payload["plain"]:
        from aegis_dagster.chunking.plain import plain_passages

        passages = plain_passages(document, counter, max_tokens=max_tokens)
    else:
        from aegis_dagster.chunking.hybrid import hybrid_passages
        from aegis_dagster.chunking.parts import parts_of

        merge = bool(payload["options"]["merge_peers"])
        passages = hybrid_passages(parts_of(document), counter, max_tokens=max_tokens, merge_peers=merge)
    return _Read(markdown, pieces, headings, passages, PlaceFinder(document), warnings)


def _room_for_headings(payload: dict[str, Any]) -> int:
    """How many tokens a path of headings may take."""
    return int(payload["options"]["max_tokens"]) // 2


def _unreadable() -> DocumentError:
    return DocumentError(
        FailureCode.CHUNKING_FAILED,
        "The parsed document cannot be read.",
        remedy="parse it again: `aegis retry`.",
        retryable=True,
    )


def _source_text(file: Path) -> tuple[list[Piece], list[LeftOut]]:
    """What the file holds and what is left out; nothing where the document was parsed before that was written."""
    return from_json(json.loads(file.read_text("utf-8", "surrogatepass"))) if file.exists() else ([], [])


def _lesser(one: Coverage, other: Coverage) -> Coverage:
    return one if (one.share, -one.losses) <= (other.share, -other.losses) else other


def _above(context: str, counter: TokenCounter, max_tokens: int) -> tuple[tuple[str, ...], int]:
    """The headings above those of the document, and how many tokens they leave."""
    above = fit_headings(tuple(context.splitlines()), counter, max_tokens // 4)
    return above, max_tokens - counter.cost("\n".join(above)) if above else max_tokens


def _texts(chunks: list[Chunk], document_headings: list[str]) -> Iterator[str]:
    """The texts to search for words: those of the chunks, and each of the document's headings that a chunk names.

    A heading may be above many chunks, and equal headings above one; its words count as often as in the document.
    """
    named = {heading.strip() for chunk in chunks for heading in (*chunk.headings, chunk.text)}
    yield from (heading for heading in document_headings if heading.strip() in named)
    yield from (chunk.text for chunk in chunks)
