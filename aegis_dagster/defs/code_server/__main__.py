"""Dagster's command line with `serve_warm`. A run does not import this module again, because it is named `__main__`."""

from collections.abc import Callable

from dagster import _cli

from aegis_dagster.defs.code_server import serve_warm

_main: Callable[[], None] = _cli.main

if __name__ == "__main__":
    serve_warm()
    _main()
