"""Settings of monitoring that are refused when they load, with what to do and without the secret."""

import pytest

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AEGIS_METRICS__PUSHGATEWAY", "http://push:s3cr3t@127.0.0.1:9091"),
        ("AEGIS_ALERTS__ALERTMANAGER", "https://s3cr3t@alerts.example.com/am"),
        ("AEGIS_ALERTS__DAGSTER_URL", "http://me:s3cr3t@127.0.0.1:3000?a=b"),
        ("AEGIS_NEO4J__URI", "neo4j+s://neo4j:s3cr3t@graph.example.com"),
    ],
)
def test_an_address_with_a_password_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=r"addresses are written into logs.*before the @") as refused:
        load_settings()
    assert variable in str(refused.value)
    assert "s3cr3t" not in f"{refused.value} {refused.value.__cause__}"  # Dagster shows causes, too


@pytest.mark.parametrize("value", ["http://127.0.0.1:9091/a@b", "http://127.0.0.1:9091?to=a@b"])
def test_an_at_sign_behind_the_host_is_no_password(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AEGIS_METRICS__PUSHGATEWAY", value)
    assert load_settings().metrics.pushgateway == value


def test_figures_may_not_be_asked_for_too_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_METRICS__REFRESH_SECONDS", "301")
    with pytest.raises(ConfigurationError, match=r"metrics\.refresh_seconds.*300"):
        load_settings()
