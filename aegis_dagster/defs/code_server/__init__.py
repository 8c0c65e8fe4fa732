"""A code location whose runs start warm: `python -m aegis_dagster.defs.code_server ...` in the place of `-m dagster`.

A code location starts a new interpreter for each run, which imports Dagster and the definitions for seconds before it
begins. Here it forks a process that imported them when the location was loaded, as `ingest_parallel` does for its
steps. That one starts when the location has set its environment, with what Dagster reads from `.env`. Reloading the
location makes a new one. All else, from the queue to the end of a run, stays Dagster's work.
"""

import multiprocessing
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from typing import Any

from dagster._grpc import server

from aegis_dagster.defs.preloaded import PRELOADED

_STARTS_SERVERS, _STARTS_RUN, _CONTEXT = "get_python_environment_entry_point", "StartRun", "_mp_ctx"
# KeyError, here and below: this is another Dagster.
_python = vars(server)[_STARTS_SERVERS]
_start_run = vars(server.DagsterApiServer)[_STARTS_RUN]
_begin = server.DagsterApiServer.__init__

_WARM = multiprocessing.get_context("forkserver")


def serve_warm() -> None:
    """Let the code locations that this process starts be ours, and the runs that it starts be forked."""
    vars(server)[_STARTS_SERVERS] = _entry_point
    setattr(server.DagsterApiServer, "__init__", _begin_warm)  # noqa: B010 - mypy refuses the assignment
    setattr(server.DagsterApiServer, _STARTS_RUN, _start_forked)


def _entry_point(executable: str) -> Sequence[str]:
    """A workspace may name the interpreter of a location: where it is another one, it need not have this package."""
    others: Sequence[str] = _python(executable)
    return [executable, "-m", __name__] if executable == sys.executable else others


def _begin_warm(served: Any, *arguments: Any, **options: Any) -> None:
    _begin(served, *arguments, **options)
    _WARM.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()  # it imports beside this process


def _start_forked(served: Any, *arguments: Any) -> Any:
    vars(served)[_CONTEXT]
    vars(served)[_CONTEXT] = _WARM
    return _start_run(served, *arguments)
