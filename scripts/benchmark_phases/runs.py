"""One run over a folder, of ours or of a peer, and what it took."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aegis_dagster.embedding.model_files import MODEL as MINILM
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster_tests.support.llm_server import LLMServer
from aegis_dagster_tests.support.places import REPOSITORY

from .watching import watch

AEGIS = Path(sys.executable).with_name("aegis")
MODELS = ("small", "other")  # the server's
BATCH = 64  # texts a call, as the peers have it
Numbers = dict[str, float]


def environment(folder: Path, server: LLMServer, model: str = "house/small") -> dict[str, str]:
    """A home in the folder whose only provider is the server, and that makes no graph of the collection `peps`."""
    each = {"tasks": ["embedding"], "dimensions": 384, "texts_per_call": BATCH, "parameters": {"send_dimensions": True}}
    house = {
        "base_url": server.v1,
        "api_key_variable": None,
        "local": True,
        "free": True,
        "enabled": True,
        "models": dict.fromkeys(MODELS, each),
    }
    settings = {
        "embed": {"model": model},
        "llm": {"tiers": ["house"], "providers": {"house": house}},
        "collections": {"peps": {"graph": False}},
    }
    (folder / "aegis.yaml").write_text(json.dumps(settings), "utf-8")  # JSON is YAML
    own = {"AEGIS_CONFIG": "aegis.yaml", "AEGIS_HOME": "home", "AEGIS_ROOT": "documents"}
    return _outer() | {name: str(folder / value) for name, value in own.items()}


def measured(command: list[str], store: Path, environment: dict[str, str], server: LLMServer) -> tuple[Numbers, str]:
    """The numbers of a command that works on `store`, and the last line that it printed."""
    server.reset()
    before = _changes(store)
    used, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=said, stderr=said, text=True)
        watched = watch(process, 0.2)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        said.seek(0)
        lines = said.read().splitlines()
    if process.returncode:
        raise SystemExit("\n".join(lines[-30:]))
    seconds = after.ru_utime - used.ru_utime + after.ru_stime - used.ru_stime
    written = sum(before.get(path) != changed for path, changed in _changes(store).items())
    numbers: Numbers = {
        "wall_seconds": wall,
        "cpu_seconds": seconds,
        "memory_mb": watched.peak / 2**20,
        "processes": len(watched.processes),
        "files": written,
        "calls": server.counts()["calls"],
    }
    return numbers, next(line for line in reversed(lines) if line.startswith("{"))


def our_run(folder: Path, server: LLMServer, model: str) -> Numbers:
    """One `aegis ingest`."""
    own = environment(folder, server, model)
    numbers, said = measured([str(AEGIS), "ingest", "--json"], folder / "home", own, server)
    work = json.loads(said)["work"]
    status = json.loads(subprocess.run([AEGIS, "status", "--json"], env=own, check=True, stdout=subprocess.PIPE).stdout)
    return numbers | {
        "parsed": work["parsed"],
        "chunked": work["chunked"],
        "embedded": work["chunks_embedded"],
        "passages": sum(collection["chunks"] for collection in status["collections"]),
    }


def peer_run(module: str, python: Path, folder: Path, server: LLMServer, model: str) -> Numbers:
    """One run of a peer's script."""
    place = str(ensure_model(None)) if model == MINILM else server.v1
    store = folder / "home"
    store.mkdir(exist_ok=True)
    command = [str(python), "-m", module, str(folder / "documents"), str(store), place, model.removeprefix("house/")]
    own = _outer() | {"COCOINDEX_DISABLE_USAGE_TRACKING": "1"}
    numbers, said = measured(command, store, own, server)
    return numbers | {name: float(value) for name, value in json.loads(said).items()}


def _changes(store: Path) -> dict[str, int]:
    """When each file was changed, in nanoseconds."""
    return {str(path): path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}


def _outer() -> dict[str, str]:
    """The environment without our settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_")}
