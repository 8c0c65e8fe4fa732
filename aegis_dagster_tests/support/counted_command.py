"""Runs `aegis` in this process, and counts what it asks of the system: the counts are the same on every machine.

    python -m aegis_dagster_tests.support.counted_command COUNTS.json ingest --json

The work of worker processes is not among them.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STARTS = frozenset({"subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec"})


def _count(counts: Counter[str], home: str) -> None:
    """Count from now on."""

    def noted(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _STARTS:
            counts["processes"] += 1
        elif event == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & _WRITES:
            path = arguments[0]
            if path.startswith(home) and not path.startswith(f"{home}/dagster/"):
                counts["opened to write"] += 1

    def executed(connection: sa.Connection, *_: object) -> None:
        counts["statements" if _is_ours(connection) else "Dagster's statements"] += 1

    def committed(connection: sa.Connection) -> None:
        counts["commits" if _is_ours(connection) else "Dagster's commits"] += 1

    sys.addaudithook(noted)
    sa.event.listen(sa.Engine, "before_cursor_execute", executed)
    sa.event.listen(sa.Engine, "commit", committed)


def _is_ours(connection: sa.Connection) -> bool:
    return Path(connection.engine.url.database or "").name == "aegis.db"


def main() -> None:
    """Run the command; the counts are written when it ends."""
    place = Path(sys.argv.pop(1))
    counts: Counter[str] = Counter()
    _count(counts, os.environ["AEGIS_HOME"])
    from aegis_dagster.cli import main as aegis

    try:
        aegis()
    finally:
        place.write_text(json.dumps({**counts, "modules": len(sys.modules)}), "utf-8")


if __name__ == "__main__":
    main()
