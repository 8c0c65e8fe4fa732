"""A seat: the part of the runner that lives on a node. It holds one worker process and gives it one task at a time.

It touches no database and knows no key; what drives the run claims documents and writes what is found.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aegis_dagster.environment import forget_secrets
from aegis_dagster.errors import AegisError, ConfigurationError, DocumentError, FailureCode, ServiceError
from aegis_dagster.office import Office, find_office
from aegis_dagster.process_identity import new_folder, remove_folders_of_the_dead
from aegis_dagster.workers.pool import WorkerPool
from aegis_dagster.workers.ray.travel import TRAVEL, FileHere, result_in, value_at, with_value
from aegis_dagster.workers.ray.versions import difference

_OUT_OF_MEMORY = "oom_kill"  # a line of /proc/vmstat: how many processes the kernel has ended for want of memory


@dataclass(frozen=True, slots=True)
class SeatPlan:
    """What a seat is told when it begins."""

    memory_mb: int  # limit of a worker
    results: str  # the folder in which results are made, where a node has it
    versions: Mapping[str, str]  # of what results depend on, where the run is driven
    office: Office | None  # converts old office files there; None: they are refused
    load: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # see `WorkerPool`
    needs: tuple[str, ...] = ()  # folders that every node must have, as weights of models


@dataclass(frozen=True, slots=True)
class SeatInfo:
    """What a seat says of itself."""

    node: str  # Ray's id of the node
    host: str
    process: int
    shares_files: bool  # results are written where the run is driven
    cards: tuple[str, ...] = ()  # the GPUs that it may use, as Ray numbers them
    unfit: str = ""  # why nothing may be done here: other versions, a folder that is missing


@dataclass(frozen=True, slots=True)
class Call:
    """One task. carried: the bytes of files by their paths; the others are looked for here."""

    task: str
    payload: dict[str, Any]
    timeout_seconds: float
    files: Sequence[FileHere] = ()
    carried: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task: one of these is set."""

    result: dict[str, Any] | None = None
    absent: tuple[str, ...] = ()  # paths of files that have to be carried; nothing was begun
    failed: dict[str, Any] | None = None  # the document's own error
    broken: dict[str, str] | None = None  # a service of this node: its disk, its memory
    refused: dict[str, str] | None = None  # something that an operator must decide
    names: tuple[str, ...] = ()  # what the folder of the result holds, where it was written
    carried: Mapping[str, bytes] | None = None  # the result's files; None: they are where they belong


class Seat:
    """Runs as an actor; every method may be called while another one waits."""

    def __init__(self, plan: SeatPlan) -> None:
        forget_secrets()
        self._plan = plan
        base = Path(tempfile.gettempdir()) / f"aegis-seats-{os.getuid()}"
        remove_folders_of_the_dead(base)
        self._folder = new_folder(base)
        self._work, self._safe = self._folder / "work", self._folder / "safe"
        self._kept: dict[FileHere, str] = {}
        self._count = 0
        shared = _is_shared(Path(plan.results))
        self._shares_files = shared
        self._pool = WorkerPool(
            workers=1,
            memory_mb=plan.memory_mb,
            temporary=self._folder / "workers",
            writable=[self._work, *([Path(plan.results)] if shared else [])],
            office=self._office(),
            load=plan.load,
        )
        for folder in (self._work, self._safe):
            folder.mkdir()

    async def begin(self, node: str, cards: Sequence[str] = ()) -> SeatInfo:
        """Who it is, and whether it may work."""
        host = os.uname().nodename
        return SeatInfo(node, host, os.getpid(), self._shares_files, tuple(cards), self._unfit())

    async def run(self, call: Call) -> Done:
        """Do a task."""
        self._count += 1
        here = self._folder / f"{self._count}"
        try:
            payload, absent = self._at_hand(call, here)
            return Done(absent=absent) if absent else await self._done(call, payload)
        except DocumentError as error:
            return Done(failed=_as_values(error))
        except ServiceError as error:
            return Done(broken={"message": error.message, "remedy": error.remedy})
        except AegisError as error:
            return Done(refused={"message": error.message, "remedy": error.remedy})
        except OSError as error:
            why = f"The disk of the node {os.uname().nodename} fails: {error.strerror or error}."
            return Done(broken={"message": why, "remedy": f"free space in {self._folder.parent} there."})
        finally:
            shutil.rmtree(here, ignore_errors=True)

    async def end(self) -> None:
        """End the worker and remove what it has left."""
        await self._pool.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _done(self, call: Call, payload: dict[str, Any]) -> Done:
        key = TRAVEL[call.task].output
        target = Path(value_at(payload, key)) if key else None
        in_place = target is not None and self._shares_files and target.is_dir()
        out = target if in_place or target is None else self._work / f"{self._count}"
        if out is not None and not in_place:
            out.mkdir()
            payload = with_value(payload, key, str(out))
        ended_before = _ended_for_memory()
        try:
            result = await self._pool.run(call.task, payload, timeout_seconds=call.timeout_seconds)
        except DocumentError as error:
            if error.code is FailureCode.WORKER_CRASHED and _ended_for_memory() > ended_before:
                raise ServiceError(
                    f"The node {os.uname().nodename} has no memory left; a worker was ended there.",
                    remedy="give a seat more memory in the group `workers`, so that a node holds fewer.",
                ) from error
            raise
        finally:
            if out is not None and not in_place:
                out.rename(self._safe / out.name)  # no worker writes there
        if out is None:
            return Done(result)
        if in_place:
            return Done(result, names=tuple(sorted(entry.name for entry in os.scandir(out))))
        try:
            return Done(result, carried=result_in(self._safe / out.name))
        finally:
            shutil.rmtree(self._safe / out.name, ignore_errors=True)

    def _at_hand(self, call: Call, here: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The payload with paths of this node, and which files have to be carried."""
        payload, absent = call.payload, []
        for key in dict.fromkeys(file.key for file in call.files):
            files = [file for file in call.files if file.key == key]
            if all(file in self._kept for file in files):
                payload = with_value(payload, key, self._kept[files[0]])
            elif all(file.path in call.carried for file in files):
                place = (self._folder / "kept" if files[0].kept else here) / f"{len(self._kept)}-{key}"
                payload = with_value(payload, key, _unpacked(files, call.carried, place))
                if files[0].kept:
                    self._kept[files[0]] = str(value_at(payload, key))
            elif not all(file.is_at_its_path() for file in files):
                absent += [file.path for file in files]
        return payload, tuple(absent)

    def _office(self) -> Office | None:
        """LibreOffice of this node, where the run is driven by a machine that has one."""
        return find_office() if self._plan.office is not None else None

    def _unfit(self) -> str:
        """Why results of this node would not be those of the machine that drives the run."""
        if other := difference(self._plan.versions):
            return other
        if self._plan.office is not None:
            here, there = self._office(), self._plan.office
            if here is None or (here.version, here.formats) != (there.version, there.formats):
                return f"LibreOffice {there.version} with the same parts is not installed"
        missing = [folder for folder in self._plan.needs if not Path(folder).is_dir()]
        return f"the folder {missing[0]} is not there" if missing else ""


def _is_shared(results: Path) -> bool:
    """Whether a result can be made in this folder of the machine that drives the run: a file is written and read."""
    probe = results / f"probe-{os.uname().nodename}-{os.getpid()}"
    try:
        if not results.is_dir():
            return False
        probe.write_bytes(b"probe")
        return probe.read_bytes() == b"probe"
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _unpacked(files: Sequence[FileHere], carried: Mapping[str, bytes], place: Path) -> str:
    """Write what was carried. Returns the path that the payload names."""
    place.mkdir(parents=True, exist_ok=True)
    for file in files:
        name = file.name or f"file{Path(file.path).suffix}"
        (place / name).write_bytes(carried[file.path])
    return str(place if files[0].name else place / f"file{Path(files[0].path).suffix}")


def _as_values(error: DocumentError) -> dict[str, Any]:
    said = str(error.__cause__) if error.__cause__ is not None else ""
    return {
        "code": str(error.code),
        "message": error.message,
        "remedy": error.remedy,
        "retryable": error.retryable,
        "said": said,
    }


def _ended_for_memory() -> int:
    try:
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
    except (OSError, UnicodeError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{_OUT_OF_MEMORY} ")), 0)


def error_of(done: Done) -> AegisError | None:
    """What ended a task, if it has no result."""
    if done.failed is not None:
        values = done.failed
        error = DocumentError(
            FailureCode(values["code"]), values["message"], remedy=values["remedy"], retryable=values["retryable"]
        )
        error.__cause__ = RuntimeError(values["said"]) if values["said"] else None
        return error
    if done.broken is not None:
        return ServiceError(done.broken["message"], remedy=done.broken["remedy"])
    if done.refused is not None:
        return ConfigurationError(done.refused["message"], remedy=done.refused["remedy"])
    return None
