"""Dagster's command line with `serve_warm`. A run does not import this module again, because it is named `__main__`."""

import sys
from collections.abc import Callable
from multiprocessing import forkserver

from dagster import _cli

from aegis_dagster.defs.code_server import WARM, serve_warm
from aegis_dagster.defs.preloaded import PRELOADED

_main: Callable[[], None] = _cli.main
_STARTS_RUNS = "api"  # the command of the process that starts runs: `dagster api grpc`, which `code-server` starts

if __name__ == "__main__":
    serve_warm()
    if sys.argv[1:2] == [_STARTS_RUNS]:
        WARM.set_forkserver_preload(PRELOADED)
        forkserver.ensure_running()  # it imports beside this process
    _main()
