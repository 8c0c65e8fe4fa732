"""What holds for any document, whichever chunker: no word lost, no chunk too long or empty, always the same."""

from collections.abc import Sequence

from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.labels import DocItemLabel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis_dagster_tests.support.chunked_documents import (
    Chunked,
    chunk_document,
    empty_document,
    table_of,
    token_counter,
)

_WORD = st.text(alphabet="abcxyzABC019_äßéñжλ漢字あ😀", min_size=1, max_size=40)
_MARKS = st.sampled_from(
    [".", "!", "?", ",", "|", "||", "#", "*", "**", "`", "<b>", "&amp;", "\n", "\n\n", "| - |", "-"]
)
_TEXT = st.lists(_WORD | _MARKS, max_size=60).map(" ".join)
_HEADING = st.tuples(st.just("heading"), st.integers(1, 5), st.lists(_WORD, max_size=12).map(" ".join))
_PARAGRAPH = st.tuples(st.sampled_from(["text", "code", "item", "nested"]), _TEXT)
_CELLS = st.integers(1, 4).flatmap(
    lambda columns: st.lists(st.lists(_TEXT, min_size=columns, max_size=columns), min_size=1, max_size=6)
)
_TABLE = st.tuples(st.just("table"), _CELLS)
_DOCUMENTS = st.lists(_HEADING | _PARAGRAPH | _TABLE, max_size=15)
_MAX_TOKENS = st.sampled_from([32, 48, 240])


def _build(elements: Sequence[tuple[object, ...]]) -> DoclingDocument:
    document = empty_document()
    group = None
    for element in elements:
        match element:
            case ("heading", int(level), str(text)):
                document.add_heading(text, level=level)
            case ("text", str(text)):
                document.add_text(DocItemLabel.TEXT, text)
            case ("code", str(text)):
                document.add_code(text)
            case ("item", str(text)):
                group = document.add_list_group()
                document.add_list_item(text, parent=group)
            case ("nested", str(text)):
                document.add_list_item(text, parent=group or document.add_list_group())
            case ("table", list(rows)):
                document.add_table(data=table_of(rows))
    return document


def _assert_promises(result: Chunked, max_tokens: int) -> None:
    counter = token_counter()
    assert result.report["coverage"] == 1.0, result.report["missing"]
    assert result.report["chunks"] == len(result.chunks)
    for ordinal, chunk in enumerate(result.chunks):
        assert chunk.ordinal == ordinal
        assert chunk.text.strip()
        assert chunk.token_count == counter.count(chunk.embedded_text) <= max_tokens
        assert chunk.embedded_text == "\n".join([*chunk.headings, chunk.text])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(_DOCUMENTS, _MAX_TOKENS, st.booleans())
def test_the_hybrid_chunker_loses_nothing(elements: list[tuple[object, ...]], max_tokens: int, merge: bool) -> None:
    document = _build(elements)
    result = chunk_document(document, max_tokens=max_tokens, merge_peers=merge)
    _assert_promises(result, max_tokens)
    assert chunk_document(document, max_tokens=max_tokens, merge_peers=merge).files == result.files


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(_DOCUMENTS, _MAX_TOKENS)
def test_the_plain_chunker_loses_nothing(elements: list[tuple[object, ...]], max_tokens: int) -> None:
    document = _build(elements)
    result = chunk_document(document, max_tokens=max_tokens, plain=True)
    _assert_promises(result, max_tokens)
    assert chunk_document(document, max_tokens=max_tokens, plain=True).files == result.files
