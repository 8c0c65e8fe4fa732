"""An object as an fsspec filesystem describes it: its size, its time of modification, and the marks of its bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis_dagster.domain.identifiers import Revision
from aegis_dagster.domain.listing import KnownFile
from aegis_dagster.remote.modified import MODIFIED, MODIFIED_TOO, modified
from aegis_dagster.sources.listing_rules import is_known, revision_of_unread

_CONTENT = ("ETag", "etag", "VersionId", "generation", "content_md5", "md5Hash", "ino")
# Added later, and therefore last: the stamps in existing catalogs stay valid.
_CONTENT_TOO = ("md5Checksum", "md5", "checksum", "sha", "sha256", "blob_id", "oid", "hex", "CRC")
_MARKS = (*MODIFIED, *_CONTENT, *MODIFIED_TOO, *_CONTENT_TOO)
_SAME_WHEREVER = ("ETag", "etag", "content_md5", "md5Hash", *_CONTENT_TOO)  # of equal bytes, also under other names


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An object as a listing describes it."""

    size: int | None  # bytes; None: unknown
    modified: float | None  # seconds since 1970; None: unknown
    stamp: str  # changes whenever the bytes may have, if `marked`
    marked: bool  # False: at most the size is known; only reading shows whether it was edited
    content: str  # the store's own mark of the bytes, else the stamp

    def looks_like(self, known: KnownFile | None, *, largest: int) -> bool:
        """Whether only its bytes could tell it from the known document. largest: bytes of a file that is read."""
        stamp = self.stamp_with(known.revision) if known else ""
        small = self.size is None or self.size <= largest
        return is_known(known, stamp, readable=self.marked and small)  # without a mark it is read anyway

    def stamp_with(self, revision: Revision) -> str:
        """The stamp to store. Without a mark it contains the hash of the bytes, with which the next scan compares."""
        return self.stamp if self.marked else f"{self.stamp}:{revision}"

    @property
    def unread_revision(self) -> Revision:
        """The revision of an object that is too large to be read."""
        return revision_of_unread(self.content)


def remote_file(info: Mapping[str, Any]) -> RemoteFile:
    """The object that `info` of any filesystem describes."""
    size = info.get("size")
    said = {key: info[key] for key in ("size", *_MARKS) if info.get(key) is not None}
    stamp = ":".join(str(value) for value in said.values())
    content = ":".join(str(said[key]) for key in _SAME_WHEREVER if key in said)
    return RemoteFile(
        size=None if size is None else int(size),
        modified=modified(said),
        stamp=stamp,
        marked=any(key != "size" for key in said),
        content=f"{size}:{content}" if content else stamp,
    )
