"""Dagster's storage on the Postgres of the settings: beside our tables, created once, and clear when it is gone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from aegis_dagster.cli.dagster_runs import put_dagster_yaml
from aegis_dagster.defs.run_metrics import read_runs, storage_in_words
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.servers.postgres import PostgresServer

HOSTS = 4  # that open a new instance at once


def new_home(folder: Path) -> Path:
    folder.mkdir()
    put_dagster_yaml(folder, in_database=True)
    return folder


def test_hosts_that_open_it_at_once_share_one_history_beside_our_tables(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_database()
    monkeypatch.setenv("AEGIS_DATABASE", url)
    homes = [new_home(tmp_path / str(host)) for host in range(HOSTS)]
    with ThreadPoolExecutor(HOSTS) as hosts:
        instances = list(hosts.map(lambda home: dg.DagsterInstance.from_config(str(home)), homes))
    instances[0].add_dynamic_partitions("collection", ["a"])
    assert [instance.get_dynamic_partitions("collection") for instance in instances] == [["a"]] * HOSTS
    open_database(url).dispose()  # finds no revision of Dagster's
    assert sum(read_runs(homes[0]).runs.values()) == 0
    assert storage_in_words(homes[0]) == "Postgres, schema dagster"
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    assert {"runs", "event_logs", "jobs"} <= set(inspector.get_table_names("dagster"))
    assert not {"runs", "event_logs", "jobs"} & set(inspector.get_table_names("public"))
    engine.dispose()
    for instance in instances:
        instance.dispose()


def test_without_a_server_in_the_settings_the_remedy_names_both_places(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"set AEGIS_DATABASE .* or take `storage` out of dagster\.yaml"):
        read_runs(new_home(tmp_path / "dagster"))


def test_a_server_that_is_gone_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_DATABASE", "postgresql+psycopg2://me:s3cret@127.0.0.1:1/aegis")
    with pytest.raises(ServiceError, match=r"does not answer.*check that the server runs") as raised:
        read_runs(new_home(tmp_path / "dagster"))
    assert "s3cret" not in str(raised.value)
    assert "mv " not in raised.value.remedy
