"""Addresses: which hold a credential, and how one is shown. What is refused is never repeated."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

_ADDRESS = re.compile(
    r"[^\w./\\]*([a-zA-Z][a-zA-Z0-9+.-]*)(:[/\\]+)([^/\\?#]*)([^?#;]*)([?#;].*)?",
    re.DOTALL,
)
_CHAIN = re.compile(r"::(?![^/]*\])")  # fsspec chains several addresses; [::1] is a host
_LOCAL = frozenset(("file", "local", "sqlite"))  # all of it is a path
_NAMES_BEFORE_AT = frozenset(  # a user or a container without a password is part of such an address
    ("sftp", "ssh", "ftp", "ftps", "smb", "hdfs", "webhdfs", "abfs", "abfss", "az", "wasb", "wasbs")
)
_REPOSITORY = re.compile(r"([\w.-]+):([\w.-]+)(@[^:@]*)?")  # github://organisation:repository@branch/folder
_TOKEN = re.compile(r"gh[a-z]_|github_pat_|[0-9a-f]{40}", re.IGNORECASE)
_BUCKETS = frozenset(("s3", "s3a", "gs", "gcs", "oss", "r2", "cos", "swift"))  # without a port
_SECRET_NAME = re.compile(
    r"token|secret|pass(?!ive)|pwd|psw|signature|credential|session|cookie|delegation|ticket|bearer|key$|access.?key"
    r"|auth(?!or(?!iz))|(?<![a-z])(?:code|jwt|otp|pat|pin|pw|sas|sid|sig)(?![a-z])",
    re.IGNORECASE,
)


def holds_secret(address: str) -> bool:
    """Whether a user, password, key or token stands in an address, or in one of a chain, also behind %-escapes."""
    return any(_holds_secret(part) for form in _forms(address) for part in _CHAIN.split(form))


def names_of_secrets(options: object, above: str = "") -> Iterator[str]:
    """The names of options, however deep, that hold a credential, by their name or in an address."""
    if isinstance(options, dict):
        for name, value in options.items():
            full = f"{above}.{name}".strip(".")
            if _SECRET_NAME.search(str(name)):
                yield full
            else:
                yield from names_of_secrets(value, full)
    elif isinstance(options, list):
        for value in options:
            yield from names_of_secrets(value, above)
    elif isinstance(options, str) and holds_secret(options):
        yield above


def without_secrets(address: str) -> str:
    """An address as it may be shown: without user, password and query; of one that cannot be taken apart the end."""
    return "::".join(_shown(part) for part in _CHAIN.split(address))


def _forms(address: str) -> Iterator[str]:
    """The address as it is written and as it is read: a password may hold %2F, and %3A may begin one."""
    form = address
    for _ in range(4):
        yield form
        form, before = unquote(form), form
        if form == before:
            return


def _shown(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return address if address.startswith(("/", ".")) else re.split("[?#;]", address.rpartition("@")[2])[0]
    scheme, slashes, authority, path, _ = found.groups()
    if _is_local(scheme):
        return re.split("[?#]", address)[0]
    shown = f"{scheme}{slashes}{authority.rpartition('@')[2]}{path}"
    return f"{scheme}{slashes}…" if holds_secret(shown) else shown


def _is_local(scheme: str) -> bool:
    return scheme.lower().partition("+")[0] in _LOCAL


def _holds_secret(address: str) -> bool:
    found = _ADDRESS.fullmatch(address)
    if found is None or _is_local(found[1]):
        return False
    scheme, _, authority, _, query = found.groups()
    fields = re.sub("[?#;]", "&", f"{authority};{query or ''}")
    if any(_SECRET_NAME.search(name.strip()) for name, _ in parse_qsl(fields, keep_blank_values=True)):
        return True
    if scheme.lower() == "github" and (repository := _REPOSITORY.fullmatch(authority)):
        return bool(_TOKEN.match(repository[1]) or _TOKEN.match(repository[2]))
    user, at, host = authority.rpartition("@")
    port = host.rpartition("]")[2].partition(":")[2]  # [::1]:9000
    return (bool(at) and (":" in user or scheme.lower() not in _NAMES_BEFORE_AT)) or (
        bool(port) and (not port.isdigit() or scheme.lower() in _BUCKETS)  # key:sec/ret@bucket
    )
