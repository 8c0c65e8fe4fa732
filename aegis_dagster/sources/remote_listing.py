"""Everything below a path of an fsspec filesystem, with a sign of life for every answer.

fsspec's `find` treats a folder that cannot be listed, or not in time, as empty, and its documents would be deleted. So
we walk the folders where `find` would.
"""

from collections.abc import Mapping
from typing import Any

from aegis_dagster.remote.errors import in_our_words
from aegis_dagster.remote.hang_guard import answered, asked

Infos = Mapping[str, Mapping[str, Any]]


def everything_below(filesystem: Any, top: str, *, root: str) -> tuple[Infos, dict[str, str]]:
    """The filesystem's info on each object by path, and why folders cannot be listed, by path.

    Both are empty if nothing is there. Raises the filesystem's errors.
    """
    if not _walks(filesystem):
        _tell_of_pages(filesystem)
        flat: Infos = filesystem.find(top, detail=True)
        answered()
        return flat, {}
    listed: dict[str, Mapping[str, Any]] = {}
    unreadable: dict[str, str] = {}
    pending = [top]
    while pending:
        folder = pending.pop()
        try:
            entries = filesystem.ls(folder, detail=True)
        except FileNotFoundError:  # deleted since its parent was listed
            continue
        except OSError as error:  # includes timeouts
            if folder == root:
                raise
            unreadable[folder] = in_our_words(error)
            continue
        answered()
        for info in entries:
            path = str(info["name"]).rstrip("/")
            if info.get("type") != "directory":
                listed[str(info["name"])] = info
            elif path != folder and _is_below(path, root):
                pending.append(path)
    if not listed and top != root and filesystem.isfile(top):
        return {top: {}}, {}
    return listed, unreadable


def _is_below(path: str, root: str) -> bool:
    """Whether a folder that a server names is one of the root's: a web page links to anything."""
    top = root.rstrip("/")
    return (not top or path.startswith(f"{top}/")) and ".." not in path.removeprefix(top).split("/")


def _walks(filesystem: Any) -> bool:
    """Whether it cannot list everything with one request."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    kind = type(filesystem)
    return kind.find is AbstractFileSystem.find and getattr(kind, "_find", None) in (None, AsyncFileSystem._find)


def _tell_of_pages(filesystem: Any) -> None:
    """A listing of a bucket is one request with thousands of pages; botocore reports each answer."""
    client = getattr(filesystem, "s3", None)
    if client is not None:
        client.meta.events.register("after-call", _tell, unique_id="aegis-root")


def _tell(**_: Any) -> None:
    """Called in the task of fsspec's event loop, which has the context of the waiting thread."""
    question = asked()
    if question is not None:
        question.signs += 1
