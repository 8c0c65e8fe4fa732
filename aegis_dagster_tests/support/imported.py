"""What a program imports, in a process of its own that no coverage is measured in: that would import modules too."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_AT_EXIT = "import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"


def imported_by(
    program: str, environment: Mapping[str, str] | None = None, folder: Path | None = None, *, code: int = 0
) -> set[str]:
    """The modules that a program has imported when it ends. Raises AssertionError if it ends with another exit code."""
    unmeasured = {
        name: value for name, value in (environment or os.environ).items() if not name.startswith("COVERAGE_PROCESS_")
    }
    done = subprocess.run(
        [sys.executable, "-c", _AT_EXIT + program],
        env=unmeasured,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return set(done.stderr.splitlines()[-1].split())
