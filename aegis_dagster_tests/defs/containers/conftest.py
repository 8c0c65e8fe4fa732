"""A home whose steps run in containers of this machine's programs, and a Dagster instance in it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from aegis_dagster.embedding.model_files import model_dir
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.servers.docker import IMAGE, DockerEngine, machine


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home; its DAGSTER_HOME has a dagster.yaml, and its settings name the image."""
    home = tmp_path / "home"
    (home / "dagster").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (tmp_path / "root").mkdir()
    settings = {
        "AEGIS_HOME": str(home),
        "AEGIS_ROOT": str(tmp_path / "root"),
        "AEGIS_LISTING__SETTLE_SECONDS": "0",
        "AEGIS_MODEL_CACHE": str(model_dir(None).parent),
        "DAGSTER_HOME": str(home / "dagster"),
        "AEGIS_CONTAINERS__IMAGE": IMAGE,
        "AEGIS_CONTAINERS__NETWORKS": '["host"]',
        "AEGIS_CONTAINERS__CONTAINER_KWARGS": json.dumps(machine()),
        "AEGIS_CONTAINERS__ENVIRONMENT": '["PYTHONPATH"]',
        "AEGIS_CONTAINERS__SECONDS_BEFORE_RETRY": "0.1",
        "AEGIS_CONTAINERS__MAX_AT_ONCE": "8",
        "DAGSTER_STEP_DELEGATING_EXECUTOR_SLEEP_SECONDS": "0.2",
        "PYTHONPATH": str(REPOSITORY),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as made:
        yield made


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[DockerEngine], None]:
    """Lets steps run on an engine."""
    return lambda engine: monkeypatch.setenv("DOCKER_HOST", engine.host)
