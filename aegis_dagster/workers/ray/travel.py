"""How the files of a task get to a node, and its result back.

A payload names files by their paths here. A node that has the same file at the same path (same size, same time of its
last change) reads that, and one that has the folder of the result writes there. To any other node they travel through
Ray's object store.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aegis_dagster.errors import DocumentError, FailureCode


@dataclass(frozen=True, slots=True)
class Input:
    """What a task reads."""

    key: str  # of the path in the payload, or of a list of paths; a dot goes one level down
    names: tuple[str, ...] = ()  # the files that are read, if it is the path of a folder
    kept: bool = False  # the same for many documents: a seat keeps it


@dataclass(frozen=True, slots=True)
class Travel:
    """What a task reads and where it writes."""

    inputs: tuple[Input, ...]
    output: str = ""  # key of the path of the folder that it fills; "": it only answers


_TOKENIZER = Input("options.tokenizer", kept=True)
TRAVEL: Mapping[str, Travel] = {
    "check": Travel((Input("path"),)),
    "parse": Travel((Input("path"), Input("answer")), "out_dir"),
    "chunk": Travel((Input("parse_dir", names=("document.json", "source_text.json")), _TOKENIZER), "out_dir"),
    "picture_facts": Travel((Input("paths"),)),
    "ocr": Travel((Input("path"),)),
    "embed": Travel((Input("model", names=("model.onnx", "tokenizer.json"), kept=True),)),
}


@dataclass(frozen=True, slots=True)
class FileHere:
    """A file that a task reads, as it is on the machine that drives the run."""

    key: str  # where the payload names it, or its folder
    name: str  # in the folder; "": the payload names the file itself
    path: str
    size: int
    changed_ns: int
    kept: bool

    def is_at_its_path(self) -> bool:
        """Whether this machine has it, too."""
        try:
            found = Path(self.path).stat()
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.changed_ns) and stat.S_ISREG(found.st_mode)


def files_of(task: str, payload: Mapping[str, Any]) -> list[FileHere]:
    """The files that a task reads. One that is not there, or is none, is left to the task, which says so."""
    found = []
    for wanted in TRAVEL[task].inputs:
        value = value_at(payload, wanted.key)
        named = [(f"{wanted.key}.{index}", path) for index, path in enumerate(value)] if isinstance(value, list) else []
        for key, path in named or ([(wanted.key, value)] if isinstance(value, str) else []):
            for name in wanted.names or ("",):
                place = os.path.join(path, name) if name else path  # noqa: PTH118 - once for each document
                try:
                    seen = os.stat(place)  # noqa: PTH116
                except OSError:
                    continue
                if stat.S_ISREG(seen.st_mode):
                    found.append(FileHere(key, name, place, seen.st_size, seen.st_mtime_ns, wanted.kept))
    return found


def contents_of(files: Sequence[FileHere]) -> dict[str, bytes]:
    """The bytes by path. Raises OSError."""
    return {file.path: Path(file.path).read_bytes() for file in files}


def value_at(payload: Any, key: str) -> Any:
    """What a payload holds at a key."""
    for part in key.split("."):
        payload = payload[int(part)] if isinstance(payload, list) else payload.get(part)
    return payload


def with_value(payload: Any, key: str, value: Any) -> Any:
    """A copy of a payload with another value at a key."""
    first, _, rest = key.partition(".")
    if isinstance(payload, list):
        copied = list(payload)
        copied[int(first)] = with_value(copied[int(first)], rest, value) if rest else value
        return copied
    return {**payload, first: with_value(payload[first], rest, value) if rest else value}


def result_in(folder: Path) -> dict[str, bytes]:
    """The files of a result by their relative paths, which are the names that `write_result` takes.

    Raises DocumentError for anything but folders and files: a link would lead out of the folder.
    """
    found: dict[str, bytes] = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise _no_file()
            if stat.S_ISREG(mode):
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def write_result(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write what `result_in` has read. Raises DocumentError for a name that leads out of the folder, and OSError."""
    for name, data in files.items():
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts:
            raise _no_file()
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def names_in(folder: Path) -> list[str]:
    """The names of what a folder holds directly."""
    return sorted(entry.name for entry in os.scandir(folder))


def _no_file() -> DocumentError:
    return DocumentError(
        FailureCode.WORKER_CRASHED,
        "The worker's result holds something else than files.",
        remedy="take the document out: it may have taken over its worker.",
    )
