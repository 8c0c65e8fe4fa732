"""The files of one artifact: what they hold, and whether they are as they were written."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

MANIFEST = "manifest.json"  # the only file that differs between equal results, in its "seconds"
CHECKSUMS = "checksums.json"  # {relative path: [size in bytes, SHA-256]}
Checksums: TypeAlias = dict[str, list[int | str]]


class NoFileError(Exception):
    """A folder holds something that is neither a file nor a folder, such as a link or a pipe."""


def as_text(checksums: Checksums) -> str:
    """What the file of checksums holds."""
    return json.dumps(checksums, indent=0, sort_keys=True)


def checksums_in(folder: Path) -> Checksums | None:
    """The checksums that were written; None: an older version made the artifact. Raises ValueError, OSError."""
    try:
        written: Checksums = json.loads((folder / CHECKSUMS).read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(written, dict):
        raise ValueError(CHECKSUMS)
    return written


def measured(folder: Path) -> Checksums:
    """The checksums of the files, each of which is opened once. Raises NoFileError for anything else than files."""
    found: Checksums = {}
    for name, entry in _files(folder):
        if not entry.is_file(follow_symlinks=False):
            raise NoFileError(name)
        if _is_part(entry):
            data = _content(entry)
            found[name] = [len(data), hashlib.sha256(data).hexdigest()]
    return found


def difference(written: Checksums, found: Checksums) -> str | None:
    """The first file that is not as it was written."""
    for name in sorted(written.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in written:
            return f"{name} does not belong to it"
        if written[name] != found[name]:
            return f"{name} has changed since it was written"
    return None


def unreadable(folder: Path) -> str | None:
    """The first file of JSON that is none."""
    for name, entry in _files(folder):
        if name.endswith(".json") and _is_part(entry):
            try:
                json.loads(_content(entry))
            except ValueError:
                return f"{name} cannot be read"
    return None


def without_seconds(data: bytes) -> bytes:
    """What a manifest holds, without what differs between equal results."""
    try:
        values = json.loads(data)
    except ValueError:  # damaged: hashed as it is
        return data
    values.pop("seconds", None)
    return json.dumps(values, sort_keys=True).encode()


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file's path and the hash of what it holds, without the seconds of a manifest."""
    for name, entry in _files(folder):
        if _is_part(entry):
            data = _content(entry)
            if entry.name == MANIFEST:
                data = without_seconds(data)
            yield name, hashlib.sha256(data).hexdigest()


def in_order(names: Iterable[str]) -> list[str]:
    """The paths of files in the order of `contents`: of each folder first its files, then what is below it."""
    return sorted(names, key=lambda name: [(n < name.count("/"), part) for n, part in enumerate(name.split("/"))])


def _files(folder: str | Path, above: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Whatever is no folder below a folder, by its relative path, in a fixed order. No link is followed."""
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    below = []
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            below.append(entry)
        else:
            yield above + entry.name, entry
    for entry in below:
        yield from _files(entry.path, f"{above}{entry.name}/")


def _is_part(entry: os.DirEntry[str]) -> bool:
    """Whether it is one of the files that checksums and digests are about."""
    return entry.name != CHECKSUMS and not entry.name.startswith(".")


def _content(entry: os.DirEntry[str]) -> bytes:
    with os.fdopen(os.open(entry.path, os.O_RDONLY), "rb", buffering=0) as file:
        return file.read()
