"""When an object was modified, from what any fsspec filesystem says about it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

MODIFIED = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
# Added later, and therefore last: the stamps in existing catalogs stay valid.
MODIFIED_TOO = ("modify", "modificationTime", "modifiedTime", "modification_time", "modified_at", "date_time")
_FTP_TIME = "%Y%m%d%H%M%S"  # UTC


def modified(said: Mapping[str, Any]) -> float | None:
    """Seconds since 1970, by the server's clock; None: unknown."""
    for key in (*MODIFIED, *MODIFIED_TOO):
        value = said.get(key)
        if isinstance(value, datetime):
            return value.replace(tzinfo=value.tzinfo or UTC).timestamp()
        if isinstance(value, int | float):
            return value / 1000 if key == "modificationTime" else float(value)
        if key == "modify" and str(value)[:14].isdigit():
            return datetime.strptime(str(value)[:14], _FTP_TIME).replace(tzinfo=UTC).timestamp()
    return None
