"""Passages by docling's HybridChunker: structure first, then tokens.

Imports docling_core: load it in a worker.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.text import ListItem
from pydantic import ConfigDict

from aegis_dagster.chunking.documents import LAYERS
from aegis_dagster.chunking.passages import Passage, embedded_text
from aegis_dagster.chunking.splitting import TextSplitter
from aegis_dagster.chunking.tokens import TokenCounter


@contextmanager
def _hidden(*packages: str) -> Iterator[None]:
    """Make imports of optional packages fail within the block, unless they are loaded already."""
    modules = cast(dict[str, ModuleType | None], sys.modules)  # None is Python's mark for "not to be found"
    absent = [name for name in packages if name not in modules]
    modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del modules[name]


# docling_core treats both as optional. transformers only loads tokenizers by name, and brings torch: 8 s and 500 MB.
# semchunk is replaced by TextSplitter, which has no limit on recursion and keeps its counts within one document.
with _hidden("transformers", "semchunk"):
    from docling_core.transforms.chunker.base import BaseChunk
    from docling_core.transforms.chunker.doc_chunk import DocChunk
    from docling_core.transforms.chunker.hierarchical_chunker import ChunkingDocSerializer, ChunkingSerializerProvider
    from docling_core.transforms.chunker.hybrid_chunker import HybridChunker
    from docling_core.transforms.chunker.tokenizer.base import BaseTokenizer
    from docling_core.transforms.serializer.base import BaseDocSerializer, BaseTableSerializer
    from docling_core.transforms.serializer.markdown import MarkdownParams, MarkdownTableSerializer


def hybrid_passages(
    document: DoclingDocument, counter: TokenCounter, *, max_tokens: int, merge_peers: bool
) -> Iterator[Passage]:
    """The passages of a document, in reading order, each heading in at least one of them."""
    chunker = _Chunker(
        tokenizer=_Tokenizer(counter=counter, max_tokens=max_tokens),
        splitter=TextSplitter(counter),
        serializer_provider=_SerializerProvider(),
        merge_peers=merge_peers,
        always_emit_headings=True,
    )
    for chunk in chunker.chunk(document):
        meta = cast(DocChunk, chunk).meta
        yield Passage(chunk.text, tuple(meta.headings or ()), tuple(item.self_ref for item in meta.doc_items))


class _Tokenizer(BaseTokenizer):
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


class _Chunker(HybridChunker):
    """HybridChunker that cuts long texts with our splitter."""

    splitter: TextSplitter

    def _split_by_doc_items(self, doc_chunk: DocChunk, doc_serializer: BaseDocSerializer) -> list[DocChunk]:
        # docling_core puts every item on a line of its own even if all fit: a paragraph with a link in it would become
        # three lines. Only long lists gain from it: their pieces keep the boxes of their own items.
        fits = self.tokenizer.count_tokens(self.contextualize(doc_chunk)) <= self.max_tokens
        if fits or not any(isinstance(item, ListItem) for item in doc_chunk.meta.doc_items):
            return [doc_chunk]
        return super()._split_by_doc_items(doc_chunk, doc_serializer)

    def segment(self, doc_chunk: DocChunk, available_length: int, doc_serializer: BaseDocSerializer) -> list[str]:
        return self.splitter.split(doc_chunk.text, available_length)

    def contextualize(self, chunk: BaseChunk) -> str:
        # The same text as docling_core's, without dumping the chunk's metadata to JSON first.
        return embedded_text(cast(DocChunk, chunk).meta.headings or (), chunk.text)


class _Serializer(ChunkingDocSerializer):
    """Items as Markdown, tables too; pictures by caption, description and the texts inside them."""

    table_serializer: BaseTableSerializer = MarkdownTableSerializer()
    params: MarkdownParams = ChunkingDocSerializer.model_fields["params"].default.model_copy(
        update={"layers": LAYERS, "traverse_pictures": True, "compact_tables": True}
    )


class _SerializerProvider(ChunkingSerializerProvider):
    """Gives our serializer to docling_core."""

    def get_serializer(self, doc: DoclingDocument, **kwargs: Any) -> BaseDocSerializer:
        return _Serializer(doc=doc)
