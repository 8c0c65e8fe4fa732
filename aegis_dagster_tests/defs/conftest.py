"""A project on a temporary folder that definitions find by the environment, a Dagster instance, and its daemon."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.dagster_daemon import Daemon
from aegis_dagster_tests.support.dagster_instance import quick_instance


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)  # where an aegis.yaml is looked for
    monkeypatch.setenv("AEGIS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    (tmp_path / "root").mkdir()
    return Project(load_settings())


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with quick_instance(tmp_path) as made:
        yield made


@pytest.fixture
def daemon(instance: dg.DagsterInstance) -> Daemon:
    return Daemon(instance)
