"""`aegis dev`: Dagster's webserver, daemon and code location over one home, on loopback."""

import errno
import os
import signal
import socket
import sys
from typing import NoReturn

from aegis_dagster.cli.dagster_runs import open_partitions
from aegis_dagster.cli.output import err
from aegis_dagster.cli.terminal import escape, guard_descriptors
from aegis_dagster.composition.project import Project
from aegis_dagster.environment import dagster_environment
from aegis_dagster.errors import ConfigurationError, RootUnreadable
from aegis_dagster.stages.sync import update_listing

HOST = "127.0.0.1"


def check_port(port: int) -> None:
    """Raises ConfigurationError if the port is in use or may not be opened."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port closed a moment ago counts as free
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"Port {port} of {HOST} cannot be opened: {error.strerror}.",
                    remedy="choose one above 1023: `aegis dev --port 3001` (`make dev PORT=3001`).",
                ) from error
            raise ConfigurationError(
                f"Port {port} of {HOST} is in use: perhaps another `aegis dev` runs.",
                remedy=f"end what uses it (`ss -ltnp 'sport = :{port}'` names it), or choose another port: "
                "`aegis dev --port 3001` (`make dev PORT=3001`).",
            ) from error


def prepare(project: Project) -> None:
    """Scan the watched root once, so that its collections exist when the page is first opened."""
    try:
        listing = update_listing(project.source, project.documents, project.guard())
    except RootUnreadable as error:
        err.print(f"[yellow]warning:[/] {escape(str(error))}")
    else:
        project.require_exact_names()
        if listing.held_message:
            err.print(f"[yellow]held:[/] {escape(listing.held_message)}")
    open_partitions(project)


def _environment(project: Project) -> dict[str, str]:
    settings = project.settings
    return dagster_environment(settings.home, str(project.watched_root), settings.dagster_home)


def become_dagster(project: Project, port: int) -> NoReturn:
    """Replace this process by `dagster dev` behind our front door.

    So Ctrl-C and signals reach it, and it ends all processes that it started.
    A shell makes background commands ignore Ctrl-C, and `aegis` blocks it: `dagster dev` would inherit both.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.stdout.flush()
    guard_descriptors()
    quiet = ["-W", "ignore:Function `dev_command`"]  # dagster advertises `dg dev`, which wants a project of its own
    served = ["--host", HOST, "--port", str(port), "--module-name", "aegis_dagster.definitions"]
    command = [sys.executable, *quiet, "-m", "aegis_dagster.defs.webserver.dev", *served]
    os.execve(sys.executable, command, _environment(project))
