"""Asks every node of a Ray cluster whether it is like this machine, and reaches what this machine reaches.

For each place a file is written here and read there, and the other way round. The watched root is only read.
"""

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis_dagster.workers.ray.cluster import Node
from aegis_dagster.workers.ray.versions import difference

_SECONDS = 60.0  # for a node to start a process and answer
_NAMES = 20  # of the root that are compared


@dataclass(frozen=True, slots=True)
class Place:
    """A folder, or a URL of fsspec."""

    name: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    only_read: bool = False

    def open(self) -> tuple[Any, str]:
        """Its filesystem, and its path there."""
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(self.url, **self.options)
        return filesystem, str(path).rstrip("/")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says."""

    other: str = ""  # what is installed there in another version
    places: Mapping[str, str] = field(default_factory=dict)  # by name: why it is not reached; "": it is
    silent: str = ""  # why it says nothing


@dataclass(frozen=True, slots=True)
class Question:
    """What every node is asked."""

    versions: Mapping[str, str]
    places: Sequence[tuple[Place, str]]  # and the name of the file here, or the names in the root
    text: str


def ask(nodes: Sequence[Node], places: Sequence[Place], versions: Mapping[str, str]) -> dict[str, Answer]:
    """The answers by the nodes' ids. The process is connected to the cluster (`cluster.connect`)."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    text = secrets.token_hex(16)
    question = Question(versions, list(_put_all(places, text)), text)
    remote: Any = ray.remote(answer)
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        asked[node.id] = remote.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote(question)
    try:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=_SECONDS)
        return {node: _heard(ray, given, question) for node, given in asked.items()}
    finally:
        for place, name in question.places:
            if not place.only_read:
                _remove(place, name)


def _heard(ray: Any, given: Any, question: Question) -> Answer:
    try:
        told: Answer = ray.get(given, timeout=0)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(given, force=True)
        return Answer(silent=f"it has not answered for {_SECONDS:.0f} s")
    except Exception as error:
        lines = str(error).strip().splitlines()
        return Answer(silent=lines[-1][:300] if lines else type(error).__name__)
    places = dict(told.places)
    for place, _ in question.places:
        if places[place.name].startswith(_WRITTEN):
            places[place.name] = _taken(place, places[place.name].removeprefix(_WRITTEN), question.text)
    return Answer(told.other, places)


_WRITTEN = "written as "


def answer(question: Question) -> Answer:
    """Runs on the node."""
    places = {}
    for place, name in question.places:
        try:
            places[place.name] = _compare(place, name, question.text)
        except Exception as error:  # any filesystem's own
            places[place.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return Answer(difference(question.versions), places)


def _compare(place: Place, name: str, text: str) -> str:
    filesystem, path = place.open()
    if place.only_read:
        return "" if _names(place) == name else "it shows other files than here"
    if not filesystem.exists(f"{path}/{name}"):
        return "what is written here is not there"
    if filesystem.cat_file(f"{path}/{name}") != text.encode():
        return "what is written here reads otherwise there"
    mine = f"probe-{os.uname().nodename}-{os.getpid()}"
    filesystem.pipe_file(f"{path}/{mine}", text[::-1].encode())
    return f"{_WRITTEN}{mine}"


def _put_all(places: Sequence[Place], text: str) -> Iterator[tuple[Place, str]]:
    """Those that this machine itself reaches; of another one no node needs to be asked."""
    for place in places:
        try:
            name = _put(place, text)
        except Exception:  # any filesystem's own; another line of the doctor says why
            continue
        yield place, name


def _put(place: Place, text: str) -> str:
    """Write a probe here; of a place that is only read, say what it holds."""
    if place.only_read:
        return _names(place)
    filesystem, path = place.open()
    name = f"probe-{text[:8]}"
    if "://" not in place.url:
        Path(path).mkdir(parents=True, exist_ok=True)
    filesystem.pipe_file(f"{path}/{name}", text.encode())
    return name


def _taken(place: Place, name: str, text: str) -> str:
    """Read and remove what a node has written."""
    filesystem, path = place.open()
    try:
        filesystem.invalidate_cache()
        read = filesystem.cat_file(f"{path}/{name}")
    except OSError:
        return "what is written there is not here"
    _remove(place, name)
    return "" if read == text[::-1].encode() else "what is written there reads otherwise here"


def _remove(place: Place, name: str) -> None:
    filesystem, path = place.open()
    with suppress(OSError):
        filesystem.rm_file(f"{path}/{name}")


def _names(place: Place) -> str:
    filesystem, path = place.open()
    found = sorted(str(each).rstrip("/").rpartition("/")[2] for each in filesystem.ls(path, detail=False))
    return "\n".join([str(len(found)), *found[:_NAMES]])
