"""Opens what fsspec reaches by a URL, with time limits where the library has them."""

from collections.abc import Mapping
from typing import Any

from aegis_dagster.remote.hang_guard import answered

_S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 2}}  # botocore waits minutes
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "r2", "cos", "swift"})
HOW_TO = "install what it needs (S3: `pip install 'aegis_dagster[s3]'`), or correct"


def opened(url: str, options: Mapping[str, Any]) -> Any:
    """The URL as a UPath. Raises ImportError, ValueError or TypeError: a package is missing, or it is not understood.

    options: arguments of fsspec's filesystem.
    """
    from upath import UPath

    answered()  # the first import is slow
    if "://" not in url:
        raise ValueError("no ://")
    patient = {"config_kwargs": _S3_PATIENCE} if url.startswith(("s3:", "s3a:")) else {}
    root = UPath(url, **{**patient, **options})
    if not root.protocol:  # a name that cannot be one of a protocol: taken for a local path
        raise ValueError("no protocol")
    root.fs.invalidate_cache()
    return root


def is_object_store(filesystem: Any) -> bool:
    """Whether a filesystem has buckets and no folders."""
    protocols = filesystem.protocol
    return bool({protocols} & _OBJECT_STORES if isinstance(protocols, str) else set(protocols) & _OBJECT_STORES)
