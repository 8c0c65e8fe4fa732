"""LibreOffice on this machine, which turns old office files into ones that are read; and a worker's line to it.

A worker starts no program (`workers/confinement.py`). It asks a process that was started before its walls stood, and
that does nothing else (`workers/office_process.py`).
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

# Format -> the library that reads it and Debian's package with it.
MODULES: Final[dict[str, tuple[str, str]]] = {
    "doc": ("libswlo", "libreoffice-writer-nogui"),
    "rtf": ("libswlo", "libreoffice-writer-nogui"),
    "xls": ("libsclo", "libreoffice-calc-nogui"),
    "xlsb": ("libsclo", "libreoffice-calc-nogui"),
    "ppt": ("libsdlo", "libreoffice-impress-nogui"),
}
_NAMES: Final = ("soffice", "libreoffice")
# Where packages put it, for processes whose path does not name that folder: a document's fingerprint depends on it.
_PLACES: Final = (
    "/usr/bin/soffice",
    "/usr/local/bin/soffice",
    "/Applications/LibreOffice.app/Contents/MacOS/soffice",
)
_FOLDER: Final = "office"  # below a worker's own


@dataclass(frozen=True, slots=True)
class Office:
    """An installation of LibreOffice."""

    program: str  # the program itself, which starts no other
    version: str  # e.g. "7.4"
    formats: frozenset[str]  # of `MODULES`: those whose part is installed


def find_office() -> Office | None:
    """The installation that is in the path, or at its usual place."""
    found = next((path for name in (*_NAMES, *_PLACES) if (path := shutil.which(name))), None)
    if found is None:
        return None
    place = Path(found).resolve()
    program = place.with_name("soffice.bin") if place.with_name("soffice.bin").is_file() else place
    installed = {library for library, _ in MODULES.values() if any(program.parent.glob(f"{library}.*"))}
    return Office(
        str(program),
        _version(program),
        # Where no part is found, they lie elsewhere: on macOS.
        frozenset(kind for kind, (library, _) in MODULES.items() if library in installed or not installed),
    )


def _version(program: Path) -> str:
    for place in (program.parent, program.parent.with_name("Resources")):
        try:
            if match := re.search(r"ProductKey=\D*([\d.]+)", (place / "bootstraprc").read_text("utf-8", "replace")):
                return match[1]
        except OSError:
            continue
    return "of unknown version"


class OfficeLine:
    """The line to the process that converts; one conversion at a time."""

    def __init__(self, folder: Path, requests: IO[str], answers: IO[str], formats: frozenset[str]) -> None:
        """folder: the worker's own."""
        self.formats = formats
        self._folder = folder / _FOLDER
        self._requests = requests
        self._answers = answers

    def convert(self, data: bytes, kind: str, target: str) -> bytes | str:
        """The file in the format `target`, or why there is none: "memory", "failed"."""
        self._folder.mkdir(exist_ok=True)
        source, result = self._folder / f"in.{kind}", self._folder / f"in.{target}"
        try:
            source.write_bytes(data)
            self._requests.write(f"{kind} {target}\n")
            self._requests.flush()
            answer = self._answers.readline().strip()
            return result.read_bytes() if answer == "ok" and result.is_file() else answer or "failed"
        finally:
            source.unlink(missing_ok=True)
            result.unlink(missing_ok=True)


def office_folder(folder: Path) -> Path:
    """Where the files of conversions lie, below a worker's own folder."""
    return folder / _FOLDER


_lines: list[OfficeLine] = []


def use(line: OfficeLine | None) -> None:
    """The line of this process; None: there is none."""
    _lines[:] = [line] if line is not None else []


def line() -> OfficeLine | None:
    """The line of this process, if it has one."""
    return _lines[0] if _lines else None
