"""The parts of a document by docling's HierarchicalChunker, for documents that are not simple.

Imports docling_core: load it in a worker.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.node import DocItem
from docling_core.types.doc.items.text import ListItem, SectionHeaderItem, TitleItem

from aegis_dagster.chunking.documents import LAYERS
from aegis_dagster.chunking.hybrid import Item, Part


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


# docling_core treats both as optional: transformers only loads tokenizers by name, and brings torch: 8 s and 500 MB;
# semchunk is what its own HybridChunker cuts texts with.
with _hidden("transformers", "semchunk"):
    from docling_core.transforms.chunker.doc_chunk import DocChunk
    from docling_core.transforms.chunker.hierarchical_chunker import (
        ChunkingDocSerializer,
        ChunkingSerializerProvider,
        HierarchicalChunker,
    )
    from docling_core.transforms.serializer.base import BaseDocSerializer, BaseTableSerializer
    from docling_core.transforms.serializer.markdown import MarkdownParams, MarkdownTableSerializer


def parts_of(document: DoclingDocument) -> Iterator[Part]:
    """The parts in reading order, each heading in at least one of them."""
    serializer = _Serializer(doc=document)
    chunker = HierarchicalChunker(serializer_provider=SerializerProvider(), always_emit_headings=True)
    for chunk in chunker.chunk(document):
        meta = cast(DocChunk, chunk).meta
        yield Part(chunk.text, tuple(meta.headings or ()), [_item(item, serializer) for item in meta.doc_items])


def _item(item: DocItem, serializer: "_Serializer") -> Item:
    def text() -> str:
        return "" if isinstance(item, TitleItem | SectionHeaderItem) else serializer.serialize(item=item).text

    return Item(item.self_ref, isinstance(item, ListItem), text)


class _Serializer(ChunkingDocSerializer):
    """Items as Markdown, tables too; pictures by caption, description and the texts inside them."""

    table_serializer: BaseTableSerializer = MarkdownTableSerializer()
    params: MarkdownParams = ChunkingDocSerializer.model_fields["params"].default.model_copy(
        update={"layers": LAYERS, "traverse_pictures": True, "compact_tables": True}
    )


class SerializerProvider(ChunkingSerializerProvider):
    """Gives our serializer to docling_core."""

    def get_serializer(self, doc: DoclingDocument, **kwargs: Any) -> BaseDocSerializer:
        return _Serializer(doc=doc)
