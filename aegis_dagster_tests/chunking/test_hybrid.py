"""The passages are those of docling's HybridChunker with our splitter."""

from collections.abc import Iterator
from typing import cast

import pytest
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.text import ListItem
from docling_core.types.doc.labels import DocItemLabel
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict

from aegis_dagster.chunking.documents import shorten_headings
from aegis_dagster.chunking.hybrid import hybrid_passages
from aegis_dagster.chunking.parts import SerializerProvider, parts_of
from aegis_dagster.chunking.passages import Passage, embedded_text
from aegis_dagster.chunking.splitting import TextSplitter
from aegis_dagster.chunking.tokens import TokenCounter
from aegis_dagster_tests.support.chunked_documents import empty_document, table_of, token_counter
from aegis_dagster_tests.support.simple_documents import simple_documents

# After `parts`, which keeps transformers out of their import.
from docling_core.transforms.chunker.base import BaseChunk  # isort: skip
from docling_core.transforms.chunker.doc_chunk import DocChunk  # isort: skip
from docling_core.transforms.chunker.hybrid_chunker import HybridChunker  # isort: skip
from docling_core.transforms.chunker.tokenizer.base import BaseTokenizer  # isort: skip
from docling_core.transforms.serializer.base import BaseDocSerializer  # isort: skip


class Tokenizer(BaseTokenizer):
    """Our token counter behind docling_core's interface."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    counter: TokenCounter
    max_tokens: int

    def count_tokens(self, text: str) -> int:
        return self.counter.cost(text)

    def get_max_tokens(self) -> int:
        return self.max_tokens

    def get_tokenizer(self) -> TokenCounter:
        return self.counter


class Chunker(HybridChunker):
    """HybridChunker that cuts long texts with our splitter, and items apart only in long lists."""

    splitter: TextSplitter

    def _split_by_doc_items(self, doc_chunk: DocChunk, doc_serializer: BaseDocSerializer) -> list[DocChunk]:
        fits = self.tokenizer.count_tokens(self.contextualize(doc_chunk)) <= self.max_tokens
        if fits or not any(isinstance(item, ListItem) for item in doc_chunk.meta.doc_items):
            return [doc_chunk]
        return super()._split_by_doc_items(doc_chunk, doc_serializer)

    def segment(self, doc_chunk: DocChunk, available_length: int, doc_serializer: BaseDocSerializer) -> list[str]:
        return self.splitter.split(doc_chunk.text, available_length)

    def contextualize(self, chunk: BaseChunk) -> str:
        return embedded_text(cast(DocChunk, chunk).meta.headings or (), chunk.text)


def docling_passages(document: DoclingDocument, max_tokens: int, merge_peers: bool) -> list[Passage]:
    counter = token_counter()
    chunker = Chunker(
        tokenizer=Tokenizer(counter=counter, max_tokens=max_tokens),
        splitter=TextSplitter(counter),
        serializer_provider=SerializerProvider(),
        merge_peers=merge_peers,
        always_emit_headings=True,
    )
    return [
        Passage(chunk.text, tuple(chunk.meta.headings or ()), tuple(item.self_ref for item in chunk.meta.doc_items))
        for chunk in cast(Iterator[DocChunk], chunker.chunk(document))
    ]


def assert_passages_alike(document: DoclingDocument, max_tokens: int, merge_peers: bool) -> list[Passage]:
    counter = token_counter()
    shorten_headings(document, counter, max_tokens // 2)  # as the task does
    ours = list(hybrid_passages(parts_of(document), counter, max_tokens=max_tokens, merge_peers=merge_peers))
    assert ours == docling_passages(document, max_tokens, merge_peers)
    return ours


@settings(max_examples=100)
@given(document=simple_documents(), max_tokens=st.integers(8, 40), merge_peers=st.booleans())
def test_any_document_gives_the_passages_of_docling(
    document: DoclingDocument, max_tokens: int, merge_peers: bool
) -> None:
    assert_passages_alike(document, max_tokens, merge_peers)


@pytest.mark.parametrize("max_tokens", [12, 20, 33, 60, 400])
@pytest.mark.parametrize("merge_peers", [True, False])
def test_long_lists_texts_and_tables_give_the_passages_of_docling(max_tokens: int, merge_peers: bool) -> None:
    document = empty_document()
    document.add_heading("Engines")
    document.add_text(DocItemLabel.TEXT, "Short.")
    document.add_text(DocItemLabel.TEXT, "Check the water every week. " * 12)
    group = document.add_list_group()
    for number in range(9):
        item = document.add_list_item(f"Step {number}: " + "turn " * (number * 3), parent=group)
        nested = document.add_list_group(parent=item)
        document.add_list_item("Mind the heat of the engine", parent=nested)
    document.add_heading("Parts", level=2)
    document.add_table(data=table_of([["City", "People"], *([f"north{row}", f"{row}"] for row in range(20))]))
    document.add_picture(caption=document.add_text(DocItemLabel.CAPTION, "An engine"))
    document.add_text(DocItemLabel.TEXT, "unbroken" * 40)
    passages = assert_passages_alike(document, max_tokens, merge_peers)
    assert {"#/texts/1", "#/tables/0"} <= {pointer for passage in passages for pointer in passage.items}
