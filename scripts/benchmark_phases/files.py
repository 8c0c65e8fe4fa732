"""The files that the phases work on, and what happens to them between its phases."""

import random
import shutil
import tarfile
from pathlib import Path

from aegis_dagster_tests.support.places import PEPS

LEAST = 14_000  # bytes of a PEP that files are cut from
TEXT = (".md", ".txt")
EIGHTH = 8


def write_files(folder: Path, count: int) -> None:
    """Markdown and text files of 2 to 8.5 kB, the same at every call."""
    chance, written = random.Random(3), 0
    folder.mkdir(parents=True)
    with tarfile.open(PEPS) as archive:
        members = sorted(
            (each for each in archive if each.isfile() and each.size > LEAST), key=lambda member: member.name
        )
        for turn in range(3):
            for member in members:
                file = archive.extractfile(member)
                assert file is not None
                size = chance.randrange(2000, 8500)
                part = file.read().decode("utf-8", "replace")[turn * 6000 :][:size]
                if len(part) < 2000:
                    continue
                (folder / f"doc-{written:03}.{'md' if written % 2 else 'txt'}").write_text(part, "utf-8")
                written += 1
                if written == count:
                    return


def copy_files(source: Path, folder: Path) -> None:
    """The user's files stay as they are: the phases change the copy."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(".*"))


def edit_files(folder: Path) -> int:
    """Add a paragraph to an eighth of the text files. Returns how many."""
    edited = [path for path in _files(folder) if path.suffix in TEXT][3::EIGHTH]
    for number, path in enumerate(edited):
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n\nAn added paragraph, number {number}, about what has changed.\n")
    return len(edited)


def delete_files(folder: Path) -> int:
    """Delete an eighth of the files, others than the edited ones where all are text. Returns how many."""
    deleted = _files(folder)[5::EIGHTH]
    for path in deleted:
        path.unlink()
    return len(deleted)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
