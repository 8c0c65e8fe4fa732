"""Finds the tests that `make test-fast` leaves out: they need a server, a browser, docling or `aegis` processes."""

import pytest

_SUPPORT = "aegis_dagster_tests.support."
_FIXTURES = {
    *(
        "postgres",
        "own_postgres",
        "neo4j",
        "s3_server",
        "pushgateway",
        "browser",
        "shared_ray",
        "own_ray",
        "qdrant_server",
    ),
    *("docker_with_gpus", "own_docker"),
}
_FOLDERS = {"end_to_end", "parsing", "pipeline", "samples", "workers"}
_MODULES = {  # modules of support that start processes
    "cli_process",
    "dagster_daemon",
    "dagster_runs",
    "ledger_workers",
    "points_writer",
    "scraping.exporter_process",
    "projects.bring_up",
    "servers.browser",
    "servers.dagster_dev",
    "servers.docker",
    "servers.neo4j",
    "servers.postgres",
    "servers.prometheus",
    "servers.ray",
    "servers.s3",
    "servers.silence",
}


def is_slow(item: pytest.Item) -> bool:
    """Whether it takes more than 20 s."""
    return item.get_closest_marker("slow") is not None


def is_heavy(item: pytest.Item) -> bool:
    """Whether `make test-fast` leaves it out: it is slow, or what it uses is heavy."""
    return is_slow(item) or _in_heavy_folder(item) or _uses_heavy_fixture(item) or _imports_heavy(item)


def _in_heavy_folder(item: pytest.Item) -> bool:
    return bool(_FOLDERS & set(item.nodeid.partition("::")[0].split("/")))


def _uses_heavy_fixture(item: pytest.Item) -> bool:
    used = set(getattr(item, "fixturenames", ()))
    call = getattr(item, "callspec", None)
    return bool(used & _FIXTURES) or (call is not None and "postgres" in call.params.values())


def _imports_heavy(item: pytest.Item) -> bool:
    """Whether the test's module has imported a function or class of a heavy module."""
    module = item.getparent(pytest.Module)
    for value in vars(module.obj).values() if module is not None else ():
        name = str(getattr(value, "__module__", "")).removeprefix(_SUPPORT)
        if name in _MODULES or f"{name}.{getattr(value, '__name__', '')}" in _MODULES:
            return True
    return False
