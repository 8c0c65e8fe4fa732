"""`dagster dev` with our webserver, daemon and code location: `python -m aegis_dagster.defs.webserver.dev ...`.

Dagster starts each as a module of a fixed name. Only the names are exchanged: how its processes are started, watched
and ended stays Dagster's work.
"""

from collections.abc import Sequence
from typing import Any

from dagster._cli import dev

from aegis_dagster.defs.code_server import serve_warm

_OURS = {"dagster_webserver": "aegis_dagster.defs.webserver", "dagster._daemon": "aegis_dagster.defs.daemon"}
_STARTS_THEM = "open_ipc_subprocess"
_start = vars(dev)[_STARTS_THEM]  # KeyError: this is another Dagster, whose webserver would have no front door


def _start_ours(parts: Sequence[str], **options: Any) -> Any:
    return _start([_OURS.get(part, part) for part in parts], **options)


vars(dev)[_STARTS_THEM] = _start_ours
serve_warm()

if __name__ == "__main__":
    dev.dev_command(prog_name="dagster dev")
