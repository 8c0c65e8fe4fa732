"""Measures a first ingestion of many small files, with an embedding server on loopback that answers at once.

    .venv/bin/python -m scripts.benchmark_ingestion [FILES]

Cuts Markdown and text files of 2 to 8.5 kB from the PEPs of ../shared/corpora. Prints seconds, CPU seconds, the peak
memory of all processes, and the digests of what came out.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.places import PEPS

LEAST = 14_000  # bytes of a PEP that files are cut from
AEGIS = Path(sys.executable).with_name("aegis")


def write_files(folder: Path, count: int) -> None:
    """The same files at every call."""
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


def environment(folder: Path, server: LLMServer) -> dict[str, str]:
    """A home whose only model is the server's, and that makes no graph."""
    house = {
        "base_url": server.v1,
        "api_key_variable": None,
        "local": True,
        "free": True,
        "enabled": True,
        "models": {"small": {"tasks": ["embedding"], "dimensions": 384, "parameters": {"send_dimensions": True}}},
    }
    settings = {
        "embed": {"model": "house/small"},
        "llm": {"tiers": ["house"], "providers": {"house": house}},
        "collections": {"peps": {"graph": False}},
    }
    (folder / "aegis.yaml").write_text(json.dumps(settings), "utf-8")  # JSON is YAML
    own = {"AEGIS_CONFIG": "aegis.yaml", "AEGIS_HOME": "home", "AEGIS_ROOT": "documents"}
    return {name: value for name, value in os.environ.items() if not name.startswith("AEGIS_")} | {
        name: str(folder / value) for name, value in own.items()
    }


def main() -> None:
    """Ingest once, and print what it took."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 320
    with tempfile.TemporaryDirectory(prefix="aegis_ingestion_") as name, scripted_server() as server:
        folder = Path(name)
        write_files(folder / "documents" / "peps", count)
        own, watch = environment(folder, server), Path(__file__).with_name("watch_memory.py")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, watch, AEGIS, "ingest", "--json"], env=own, check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime:.1f} s of CPU, {count} files")
        subprocess.run([AEGIS, "digest"], env=own, check=True)


if __name__ == "__main__":
    main()
