"""The files that install, test and run the project hold together."""

import os
import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.config import PoolGranularity
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aegis_dagster_tests.support.places import REPOSITORY

REPOSITORY_FILES = (
    "Makefile",
    "constraints.txt",
    "pyproject.toml",
    ".ci/run",
    ".github/workflows/ci.yml",
    "dagster.yaml",
)


def pins() -> dict[str, str]:
    """Version by canonical name, from constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    split = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in split}


def required() -> list[Requirement]:
    """Everything that pyproject.toml asks for, in all groups."""
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    groups = project["optional-dependencies"].values()
    return [Requirement(text) for text in chain(project["dependencies"], *groups)]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", REPOSITORY_FILES)
def test_no_project_file_names_a_host_or_a_path_of_one_machine(name: str) -> None:
    text = (REPOSITORY / name).read_text("utf-8").replace("http://127.0.0.1:3000", "")
    assert re.findall(r"https?://|@ |--(?:extra-)?index-url|--find-links|/(?:root|home|opt|work|Users)/", text) == []


def test_constraints_are_exact_public_versions_in_order() -> None:
    lines = [
        line for line in (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")
    ]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==(?:[0-9]+!)?[0-9][0-9A-Za-z.]*", line)] == []
    names = [canonicalize_name(line.split("==")[0]) for line in lines]
    assert names == sorted(set(names))


def test_every_requirement_of_the_project_is_pinned_to_a_version_that_satisfies_it() -> None:
    versions = pins()
    missing = [str(wanted) for wanted in required() if versions.get(canonicalize_name(wanted.name)) is None]
    assert missing == []
    assert [
        str(wanted) for wanted in required() if versions[canonicalize_name(wanted.name)] not in wanted.specifier
    ] == []


def test_all_packages_of_dagster_have_one_version() -> None:
    core = {"dagster", "dagster-webserver", "dagster-graphql", "dagster-pipes", "dagster-shared"}
    assert {pins()[name] for name in core} == {"1.13.27"}
    others = core | {"dagster-ray"}  # a project of its own
    libraries = {version for name, version in pins().items() if name.startswith("dagster") and name not in others}
    assert libraries == {"0.29.27"}


def test_every_target_but_help_and_clean_installs_first() -> None:
    listed = re.findall(r"^  make (\w+)", make("help").stdout, flags=re.MULTILINE)
    assert set(listed) == {"help", "setup", "demo", "test", "dev", "screenshots", "fmt", "clean"}
    for target in set(listed) - {"help", "clean"}:
        commands = make("--dry-run", "--always-make", target).stdout
        assert "-m venv .venv" in commands, target


def test_setup_without_python_3_11_says_what_to_do() -> None:
    refused = make("--always-make", "PYTHON=/nowhere/python", "setup")
    assert refused.returncode != 0
    assert "Remedy: install it" in refused.stderr


def test_ci_is_a_bash_script_that_runs_the_tests_of_the_makefile() -> None:
    script = REPOSITORY / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True)
    assert "\nmake test\n" in script.read_text("utf-8")
    assert "bash .ci/run" in (REPOSITORY / ".github/workflows/ci.yml").read_text("utf-8")


def test_dagster_loads_its_configuration_as_meant(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((REPOSITORY / "dagster.yaml").read_bytes())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        concurrency = instance.get_concurrency_config()
        assert (instance.telemetry_enabled, instance.nux_enabled) == (False, False)
        assert (instance.run_monitoring_enabled, instance.run_retries_max_retries) == (True, 2)
        assert concurrency.pool_config.pool_granularity == PoolGranularity.OP
        assert concurrency.pool_config.default_pool_limit == 1
        assert concurrency.run_queue_config is not None
        assert concurrency.run_queue_config.max_concurrent_runs == 2
        assert isinstance(instance.event_log_storage, SqliteEventLogStorage)
        for instigator in (InstigatorType.SCHEDULE, InstigatorType.SENSOR):
            assert all(0 < days <= 90 for days in instance.get_tick_retention_settings(instigator).values())


def test_the_workspace_loads_the_definitions_that_pyproject_names() -> None:
    named = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["dagster"]["module_name"]
    workspace = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text("utf-8"))
    assert workspace == {"load_from": [{"python_module": {"module_name": named}}]}


def test_the_package_carries_the_same_dagster_configuration() -> None:
    assert (REPOSITORY / "aegis_dagster/defs/dagster.yaml").read_bytes() == (REPOSITORY / "dagster.yaml").read_bytes()
