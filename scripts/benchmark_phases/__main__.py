"""The command; the package's docstring says what it does."""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aegis_dagster.embedding.model_files import MODEL as MINILM
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server

from . import __doc__ as about
from .files import copy_files, delete_files, edit_files, write_files
from .runs import MODELS, Numbers, our_run, peer_run

PEERS = {
    "CocoIndex": "scripts.benchmark_phases.peer_cocoindex",
    "LlamaIndex": "scripts.benchmark_phases.peer_llamaindex",
}
OURS = "aegis"
COLUMNS = (
    *("wall_seconds", "cpu_seconds", "memory_mb", "processes", "files"),
    *("parsed", "chunked", "embedded", "calls", "passages"),
)


def phases(folder: Path, models: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Each phase with its model. What changes between two is done here."""
    documents = folder / "documents"
    yield "cold", models[0]
    yield "nothing changed", models[0]
    edit_files(documents)
    yield "an eighth edited", models[0]
    delete_files(documents)
    yield "an eighth deleted", models[0]
    yield "another model", models[1]


def repetition(wanted: argparse.Namespace, system: str, server: LLMServer) -> dict[str, Numbers]:
    """All phases of one system, in a new place."""
    models = (MINILM, "house/other") if wanted.embedder == "minilm" else ("house/small", "house/other")
    with tempfile.TemporaryDirectory(prefix="aegis_phases_") as name:
        folder, numbers = Path(name), {}
        if wanted.peps:
            write_files(folder / "documents" / "peps", wanted.peps)
        else:
            copy_files(wanted.folder, folder / "documents" / "peps")
        for phase, model in phases(folder, models):
            if system == OURS:
                numbers[phase] = our_run(folder, server, model)
            else:
                numbers[phase] = peer_run(PEERS[system], wanted.peers / "bin" / "python", folder, server, model)
            print(f"{system}, {phase}: {numbers[phase]['wall_seconds']:.1f} s", file=sys.stderr, flush=True)
        return numbers


def main() -> None:
    """Run them in turns, and print the medians."""
    wanted = _arguments()
    systems = [OURS, *(PEERS if wanted.peers else ())]
    found: dict[str, list[dict[str, Numbers]]] = {system: [] for system in systems}
    with scripted_server(models=MODELS) as server:
        for _ in range(wanted.repeat):
            for system in systems:
                found[system].append(repetition(wanted, system, server))
    medians = {
        phase: {
            system: {
                column: statistics.median(each[phase][column] for each in runs)
                for column in COLUMNS
                if column in runs[0][phase]
            }
            for system, runs in found.items()
        }
        for phase in found[OURS][0]
    }
    print(json.dumps(medians, indent=2) if wanted.json else _table(medians))


def _table(medians: dict[str, dict[str, Numbers]]) -> str:
    """In Markdown, so that it can stand in `docs/performance.md`."""
    heads = [column.replace("_seconds", " s").replace("_mb", " MB") for column in COLUMNS]
    lines = ["| phase | system | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(COLUMNS)]
    for phase, systems in medians.items():
        for system, numbers in systems.items():
            cells = (
                "-" if column not in numbers else f"{numbers[column]:.{1 if column.endswith('seconds') else 0}f}"
                for column in COLUMNS
            )
            lines.append(f"| {phase} | {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmark_phases", description=(about or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of documents; it is copied")
    parser.add_argument("--peps", type=int, default=0, metavar="N", help="instead: N files cut from the PEPs")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="how often; medians are printed")
    parser.add_argument("--embedder", choices=["instant", "minilm"], default="instant")
    parser.add_argument("--peers", type=Path, metavar="VENV", help="has CocoIndex and LlamaIndex")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    if bool(wanted.folder) == bool(wanted.peps):
        parser.error("name a folder, or --peps N")
    if wanted.folder and not wanted.folder.is_dir():
        parser.error(f"{wanted.folder} is no folder")
    if wanted.peers and shutil.which(wanted.peers / "bin" / "python") is None:
        parser.error(f"{wanted.peers} is no virtual environment")
    return wanted


if __name__ == "__main__":
    main()
