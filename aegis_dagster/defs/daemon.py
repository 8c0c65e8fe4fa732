"""Dagster's daemon with all its options: `python -m aegis_dagster.defs.daemon run ...`.

It looks after its sensors every second. By itself it does so every 5 s, so that a sensor that may look every 3 s would
look every 5, or every 10. The code locations that it starts are ours: their runs start warm.
"""

from dagster._daemon import cli, sensor

from aegis_dagster.defs.code_server import serve_warm

_PAUSE, _PAUSE_SECONDS = "MIN_INTERVAL_LOOP_TIME", 1
vars(sensor)[_PAUSE]  # KeyError: this is another Dagster
vars(sensor)[_PAUSE] = _PAUSE_SECONDS
serve_warm()

if __name__ == "__main__":
    cli.main()
