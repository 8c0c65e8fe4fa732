"""A folder of Markdown and text files into a local vector store, as a user of LlamaIndex writes it.

Its directory reader, sentence splitter, ingestion pipeline with upserts, and simple vector store. Another embedding
model starts from an empty store: the pipeline passes over documents that it knows.
"""

import shutil
from typing import Any

from llama_index.core import SimpleDirectoryReader
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore

from .peer_embedder import BATCH, arguments, report

DOCUMENTS, STORE, EMBEDDER = arguments()
TOKENS = 256  # a passage's, as the embedding model takes them


class Embedding(BaseEmbedding):
    """The shared embedder."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return EMBEDDER.embed([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return EMBEDDER.embed(texts)

    def _get_query_embedding(self, query: str) -> list[float]:
        return EMBEDDER.embed([query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def main() -> None:
    """One run: what changed, and what is gone."""
    marker, vectors = STORE / "model", STORE / "vector_store.json"
    if marker.exists() and marker.read_text() != EMBEDDER.model:
        shutil.rmtree(STORE)
        STORE.mkdir()
    marker.write_text(EMBEDDER.model)
    store: Any = SimpleVectorStore.from_persist_path(str(vectors)) if vectors.exists() else SimpleVectorStore()
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=TOKENS, chunk_overlap=20),
            Embedding(model_name=EMBEDDER.model, embed_batch_size=BATCH),
        ],
        docstore=SimpleDocumentStore(),
        vector_store=store,
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
    )
    if vectors.exists():
        pipeline.load(str(STORE))
    reader = SimpleDirectoryReader(
        str(DOCUMENTS), recursive=True, filename_as_id=True, required_exts=[".md", ".txt"], file_extractor={}
    )
    pipeline.run(documents=reader.load_data())
    pipeline.persist(str(STORE))
    store.persist(str(vectors))
    report(EMBEDDER, len(store.data.embedding_dict))


main()
