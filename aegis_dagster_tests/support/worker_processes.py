"""Finds the processes of worker pools."""

import psutil

TEMPLATE, SPAWNED = "aegis_dagster.workers.template", "aegis_dagster.workers.child"


def templates(parent: int | None = None) -> list[psutil.Process]:
    """The processes from which the workers of a process are forked."""
    return [child for child in _living(psutil.Process(parent).children()) if TEMPLATE in _command(child)]


def workers(parent: int | None = None) -> list[psutil.Process]:
    """The workers of a process; by default, of this one."""
    forked = [child for template in templates(parent) for child in _living(template.children())]
    return forked + [child for child in _living(psutil.Process(parent).children()) if SPAWNED in _command(child)]


def _living(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _command(process: psutil.Process) -> list[str]:
    try:
        command: list[str] = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return command
