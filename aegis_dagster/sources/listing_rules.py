"""The rules of every scan, wherever the watched root is."""

import fnmatch
import hashlib
import re
import time
from collections.abc import Sequence

from aegis_dagster.domain.identifiers import DocumentId, Revision
from aegis_dagster.domain.listing import KnownFile, PassedOver

_UNREAD = "unread-"


class NameRules:
    """Which names are hidden or temporary."""

    def __init__(self, ignore: Sequence[str]) -> None:
        """ignore: fnmatch patterns, which ignore case."""
        self._pattern = re.compile("|".join(fnmatch.translate(one) for one in ignore) or r"(?!)", re.IGNORECASE)

    def ignored(self, name: str) -> bool:
        """Whether a file or folder of this name, with everything below it, is ignored."""
        return name.startswith(".") or self._pattern.match(name) is not None


class ReadingTime:
    """How long a scan may still read files. The rest waits for the next scan."""

    def __init__(self, seconds: float | None) -> None:
        """seconds: None for no limit."""
        self._until = None if seconds is None else time.monotonic() + seconds

    def over(self) -> bool:
        """Whether the next file has to wait."""
        return self._until is not None and time.monotonic() >= self._until


def is_known(known: KnownFile | None, stamp: str, *, readable: bool) -> bool:
    """Whether the bytes are the known ones.

    readable: the file is not too large. A file that was too large under an earlier limit is read now.
    """
    if known is None or known.stamp != stamp:
        return False
    return not (readable and is_unread(known.revision))


def revision_of_unread(marks: str) -> Revision:
    """The revision of a file that is not read because it is too large to be parsed: changes with its marks."""
    return Revision(_UNREAD + hashlib.sha256(marks.encode("utf-8", "surrogateescape")).hexdigest()[:40])


def is_unread(revision: Revision) -> bool:
    """Whether the file was not read because it is too large to be parsed."""
    return revision.startswith(_UNREAD)


def is_fresh(modified: float | None, now: float, settle_seconds: float) -> bool:
    """Whether the file may still be being written. modified: seconds since 1970; None: unknown.

    A time in the future counts as fresh: a file server's clock may be ahead.
    """
    return settle_seconds > 0 and (modified is None or now - modified < settle_seconds)


def still_growing(document_id: DocumentId) -> PassedOver:
    """A file that changed between two looks."""
    return PassedOver(document_id, "still_growing", "nothing to do: it is taken once nobody writes to it.", True)
