"""Equal pictures of all artifacts are one file on the disk.

A picture of an artifact is a hard link to `<root>/shared/<first two characters>/<sha256>`, so an artifact keeps its own
names, and the file system counts who uses a file. Whatever is killed where: an artifact never loses a picture, and a
file that only the shared folder names is removed later. Where a file system has no hard links, each artifact keeps
copies of its own.
"""

import contextlib
import filecmp
import hashlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

_PICTURES = "pictures"  # in an artifact


class SharedPictures:
    """The pictures of one artifact store."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "shared"

    def share(self, artifact: Path, hashes: Mapping[str, str]) -> None:
        """Let an artifact that is not published yet use the shared files instead of its own.

        hashes: the SHA-256 of each of its files, by its path in the artifact.
        """
        known: dict[int, Path] = {}  # by inode: within a document equal pictures are one file already
        for own in _pictures_of(artifact):
            name = f"{_PICTURES}/{own.name}"
            if name not in hashes:  # a hidden file or a folder: a worker may have made it, and nobody reads it
                continue
            inode = own.stat().st_ino
            if inode not in known:
                known[inode] = self._shared(own, hashes[name])
            if not known[inode].exists():  # no hard links here, or another process has just removed it
                continue
            with contextlib.suppress(OSError):  # too many links to one file: this one stays a copy
                _link_over(known[inode], own)

    def forget(self, artifact: Path) -> None:
        """Delete the pictures of an artifact that nobody reads any more, and the shared files that only it used."""
        shared: dict[int, Path] = {}
        for own in _pictures_of(artifact):
            with contextlib.suppress(OSError):
                found = own.stat()
                if found.st_nlink > 1 and found.st_ino not in shared:
                    shared[found.st_ino] = self._path(_hash_of(own))
                own.unlink()
        for file in shared.values():
            _remove_unused(file)

    def sweep(self) -> None:
        """Remove the shared files that no artifact uses.

        A killed process may have left some, and so does a backup of hard links that is deleted after the artifact.

        An artifact that begins to use one meanwhile has its own name for it, and keeps it.
        """
        for file in self._folder.glob("*/*"):
            _remove_unused(file)

    def _shared(self, own: Path, content_hash: str) -> Path:
        """The shared file with the content of a picture; it is missing where there are no hard links."""
        shared = self._path(content_hash)
        with contextlib.suppress(OSError):
            shared.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(own, shared)
            except FileExistsError:
                if not filecmp.cmp(own, shared, shallow=False):  # damaged: whoever uses it notices by itself
                    _link_over(own, shared)
        return shared

    def _path(self, content_hash: str) -> Path:
        return self._folder / content_hash[:2] / content_hash


def _hash_of(picture: Path) -> str:
    with picture.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _pictures_of(artifact: Path) -> list[Path]:
    """The pictures of an artifact, in order; none behind a link, which a worker may have made."""
    folder = artifact / _PICTURES
    if artifact.is_symlink() or folder.is_symlink():
        return []
    return sorted(picture for picture in folder.glob("*") if not picture.is_symlink())


def _remove_unused(shared: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if shared.stat().st_nlink == 1 or shared.name.startswith("."):  # or half of a change
            shared.unlink()


def _link_over(source: Path, target: Path) -> None:
    """Let `target` be a link to `source`; a reader sees the old file or the new one. Raises OSError."""
    if target.exists() and target.samefile(source):
        return
    unfinished = target.with_name(f".{uuid.uuid4().hex}")
    try:
        os.link(source, unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
