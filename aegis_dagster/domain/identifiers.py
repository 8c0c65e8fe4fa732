"""Ids of documents, collections and chunks, and how each is derived."""

import hashlib
import unicodedata
import uuid
from pathlib import PurePosixPath
from typing import NewType

DocumentId = NewType("DocumentId", str)  # path relative to the watched root, POSIX separators
CollectionName = NewType("CollectionName", str)  # top-level folder, or `default` for files at the root
Revision = NewType("Revision", str)  # sha256 hex digest of a document's bytes
ChunkId = NewType("ChunkId", str)  # UUID string; the same id in the vector store and in the evidence

DEFAULT_COLLECTION = CollectionName("default")
NO_MAIL = DocumentId("")  # in the place of a mail, for a document that is attached to none

# Namespace of all chunk ids. Fixed forever: another value would orphan every stored point.
_CHUNK_NAMESPACE = uuid.UUID("6f0c1a52-5a2c-5d0e-9a53-0c1d0c9be0a5")


def collection_of(document_id: DocumentId) -> CollectionName:
    """The collection of a document: its top-level folder, or `default` at the root."""
    parts = PurePosixPath(document_id).parts
    return CollectionName(parts[0]) if len(parts) > 1 else DEFAULT_COLLECTION


def composed(name: str) -> str:
    """A name in the one form in which equal names are equal: macOS stores `ü` as u and two dots, keyboards type it."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def text_hash(text: str) -> str:
    """sha256 hex digest of a text's UTF-8 bytes (lone surrogates are replaced)."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def chunk_id(document_id: DocumentId, content_hash: str, occurrence: int) -> ChunkId:
    """Id of a chunk: document, hash of its embedded text, and which of the equal texts it is (0-based).

    The occurrence number keeps equal passages of one document apart; unlike the absolute position it
    stays the same when a paragraph is inserted above, so only changed chunks get new ids.
    """
    return ChunkId(str(uuid.uuid5(_CHUNK_NAMESPACE, f"{document_id}\x1f{content_hash}\x1f{occurrence}")))
