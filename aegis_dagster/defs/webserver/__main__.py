"""Dagster's webserver with all its options, behind the front door: `python -m aegis_dagster.defs.webserver`."""

from typing import Any
from urllib.parse import urlsplit

from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.applications import Starlette

from aegis_dagster.defs.webserver.front_door import FrontDoor
from aegis_dagster.settings import load_settings


def _app(*arguments: Any, **options: Any) -> Starlette:
    app = create_app_from_workspace_process_context(*arguments, **options)
    opened_as = urlsplit(load_settings().alerts.dagster_url).hostname
    # Around all of Starlette's middleware, so that its answers to errors have the headers as well.
    app.middleware_stack = FrontDoor(app.build_middleware_stack(), [opened_as] if opened_as else [])
    return app


_MAKES_IT = "create_app_from_workspace_process_context"
vars(cli)[_MAKES_IT]  # KeyError: this is another Dagster, whose webserver would have no front door
vars(cli)[_MAKES_IT] = _app

if __name__ == "__main__":
    cli.dagster_webserver(auto_envvar_prefix="DAGSTER_WEBSERVER")
