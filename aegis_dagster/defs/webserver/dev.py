"""`dagster dev` whose webserver has the front door: `python -m aegis_dagster.defs.webserver.dev ...`.

Dagster starts its webserver as a module of a fixed name. Only that name is exchanged: how its processes are started,
watched and ended stays Dagster's work.
"""

from collections.abc import Sequence
from typing import Any

from dagster._cli import dev

_STARTS_THEM = "open_ipc_subprocess"
_start = vars(dev)[_STARTS_THEM]  # KeyError: this is another Dagster, whose webserver would have no front door


def _with_front_door(parts: Sequence[str], **options: Any) -> Any:
    return _start(
        ["aegis_dagster.defs.webserver" if part == "dagster_webserver" else part for part in parts], **options
    )


vars(dev)[_STARTS_THEM] = _with_front_door

if __name__ == "__main__":
    dev.dev_command(prog_name="dagster dev")
