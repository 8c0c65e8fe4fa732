"""Addresses: which hold a credential, and how one is shown. What is refused is never repeated."""

import re
from urllib.parse import parse_qsl

_ADDRESS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):/{1,2}([^/?#]*)([^?#]*)([?#].*)?", re.DOTALL)
_NAMES_BEFORE_AT = frozenset(  # a user or a container without a password is part of such an address
    ("sftp", "ssh", "ftp", "ftps", "smb", "hdfs", "webhdfs", "abfs", "abfss", "az", "wasb", "wasbs")
)
_REPOSITORIES = frozenset(("github", "git"))  # github://organisation:repository@branch/folder
_BUCKETS = frozenset(("s3", "s3a", "gs", "gcs", "oss", "r2", "cos", "swift"))  # without a port
_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|signature|credential|api.?key|access.?key|^(auth|authorization|code|key|pass|sas|sig)$",
    re.IGNORECASE,
)


def holds_secret(address: str) -> bool:
    """Whether a user, password, key or token stands in an address; fsspec chains several with `::`."""
    return any(_holds_secret(part) for part in address.split("::"))


def without_secrets(address: str) -> str:
    """An address as it may be shown: without user, password and query."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return address
    scheme, authority, path, _ = found.groups()
    return f"{scheme}://{authority.rpartition('@')[2]}{path}"


def _holds_secret(address: str) -> bool:
    found = _ADDRESS.fullmatch(address)
    if found is None or found[1].lower() in _REPOSITORIES:
        return False
    scheme, authority, _, query = found.groups()
    names = [name for name, _ in parse_qsl(re.sub("[?#;]", "&", query or ""), keep_blank_values=True)]
    user, at, host = authority.rpartition("@")
    port = host.rpartition("]")[2].partition(":")[2]  # [::1]:9000
    return (
        any(_SECRET_NAME.search(name) for name in names)
        or (bool(at) and (":" in user or scheme.lower() not in _NAMES_BEFORE_AT))
        or (bool(port) and (not port.isdigit() or scheme.lower() in _BUCKETS))  # key:sec/ret@bucket
    )
