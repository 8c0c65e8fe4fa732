"""A folder of Markdown and text files into a local vector store, as a user of CocoIndex writes it.

Its file source, its splitter, its SQLite target (vectors as bytes: not every Python's sqlite3 loads sqlite-vec). A file
or a text that it has seen is taken from its memory.
"""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import cocoindex as coco
import numpy as np
from cocoindex.connectors import localfs, sqlite
from cocoindex.ops.text import RecursiveSplitter
from cocoindex.resources.file import PatternFilePathMatcher
from cocoindex.resources.id import IdGenerator

from .peer_embedder import BATCH, arguments, report

DOCUMENTS, STORE, EMBEDDER = arguments()
DATABASE: Any = coco.ContextKey("database")
SPLITTER = RecursiveSplitter()


@dataclass
class Passage:
    """A row of the store."""

    id: int
    file: str
    text: str
    vector: bytes  # float32


@coco.lifespan
async def lifespan(builder: Any) -> AsyncIterator[None]:
    """Where CocoIndex keeps its state, and the store."""
    builder.settings.db_path = STORE / "cocoindex"
    builder.provide_with(DATABASE, sqlite.managed_connection(STORE / "passages.db", load_vec=False))
    yield


@coco.fn.as_async(batching=True, max_batch_size=BATCH)
def embed_batch(texts: list[str]) -> list[bytes]:
    """CocoIndex gathers the texts of many files into one call."""
    return [np.array(vector, np.float32).tobytes() for vector in EMBEDDER.embed(texts)]


@coco.fn(memo=True)
async def embed(text: str, model: str) -> bytes:
    """A text is embedded once for each model."""
    vector: bytes = await embed_batch(text)
    return vector


@coco.fn(memo=True)
async def ingest(file: Any, model: str, table: Any) -> None:
    """A file's passages."""
    path = file.file_path.path
    chunks = SPLITTER.split(
        await file.read_text(),
        chunk_size=1000,
        chunk_overlap=100,
        language="markdown" if path.suffix == ".md" else None,
    )
    ids = IdGenerator()

    async def place(text: str) -> None:
        vector = await embed(text, model)
        table.declare_row(row=Passage(id=await ids.next_id(text), file=str(path), text=text, vector=vector))

    await asyncio.gather(*(place(chunk.text) for chunk in chunks))


@coco.fn
async def main(documents: pathlib.Path, model: str) -> None:
    """The whole folder."""
    schema = await sqlite.TableSchema.from_class(Passage, primary_key=["id"])
    table = await sqlite.mount_table_target(DATABASE, "passages", schema)
    files = localfs.walk_dir(
        documents, recursive=True, path_matcher=PatternFilePathMatcher(included_patterns=["**/*.md", "**/*.txt"])
    )
    await coco.mount_each(ingest, files.items(), model, table)


coco.App("passages", main, DOCUMENTS, EMBEDDER.model).update_blocking()
with sqlite.connect(STORE / "passages.db", load_vec=False).readonly() as connection:
    report(EMBEDDER, connection.execute("SELECT count(*) FROM passages").fetchone()[0])
