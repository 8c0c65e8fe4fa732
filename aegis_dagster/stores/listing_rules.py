"""What every scan goes by, wherever the watched root is.

Belongs here: which names are never documents, which files are looked at twice, how long a scan may read.
Does not belong here: walking a folder (`folder.py`) or a bucket (`remote_folder.py`).
"""

import fnmatch
import re
import time
from collections.abc import Sequence

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import KnownFile, PassedOver


class NameRules:
    """Which names are hidden or temporary."""

    def __init__(self, ignore: Sequence[str]) -> None:
        """ignore: fnmatch patterns, upper and lower case alike."""
        self._pattern = re.compile("|".join(fnmatch.translate(one) for one in ignore) or r"(?!)", re.IGNORECASE)

    def ignored(self, name: str) -> bool:
        """Whether a file or folder of this name, and all below it, is no document."""
        return name.startswith(".") or self._pattern.match(name) is not None


class ReadingTime:
    """How long a scan may still read files. What it does not come to waits for the next scan."""

    def __init__(self, seconds: float | None) -> None:
        """seconds: None is as long as it takes."""
        self._until = None if seconds is None else time.monotonic() + seconds

    def over(self) -> bool:
        """Whether the next file has to wait."""
        return self._until is not None and time.monotonic() >= self._until


def is_new(stamp: str, known: KnownFile | None) -> bool:
    """Whether the bytes may differ from those that are known."""
    return known is None or known.stamp != stamp


def is_fresh(modified: float | None, now: float, settle_seconds: float) -> bool:
    """Whether somebody may be writing the file still. modified: seconds since 1970, None where nobody knows."""
    return settle_seconds > 0 and (modified is None or 0 <= now - modified < settle_seconds)


def still_growing(document_id: DocumentId) -> PassedOver:
    """A file that changed between two looks."""
    return PassedOver(document_id, "still_growing", "nothing to do: it is taken once nobody writes to it.", True)
