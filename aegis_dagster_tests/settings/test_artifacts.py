"""Where artifacts are: a URL and options without a credential."""

from typing import Any

import pytest

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings import Settings, load_settings


def test_the_address_and_its_options_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_ARTIFACTS__URL", "s3://bucket/a/")
    monkeypatch.setenv("AEGIS_ARTIFACTS__OPTIONS", '{"endpoint_url": "http://127.0.0.1:9000", "anon": true}')
    chosen = load_settings().artifacts
    assert chosen.url == "s3://bucket/a"
    assert chosen.options == {"endpoint_url": "http://127.0.0.1:9000", "anon": True}
    assert "9000" not in repr(chosen)
    assert Settings().artifacts.cache_megabytes == 2000


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA1", "secret": "hidden1"},
        {"client_kwargs": {"aws_secret_access_key": "hidden1"}},
        {"token": "hidden1"},
        {"endpoint_url": "https://me:hidden1@objects.example.org"},
        {"proxies": ["https://me:hidden1@objects.example.org"]},
    ],
)
def test_a_credential_in_the_options_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    import json

    monkeypatch.setenv("AEGIS_ARTIFACTS__URL", "s3://bucket/a")
    monkeypatch.setenv("AEGIS_ARTIFACTS__OPTIONS", json.dumps(options))
    with pytest.raises(ConfigurationError, match=r"artifacts\.options.*AWS_ACCESS_KEY_ID") as refused:
        load_settings()
    assert "hidden1" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["s3://KEY:hidden1@bucket/a", "/srv/artifacts", "s3://bucket/a?token=hidden1", "s3://bucket/a#b"]
)
def test_what_is_no_plain_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AEGIS_ARTIFACTS__URL", url)
    with pytest.raises(ConfigurationError, match=r"artifacts\.url") as refused:
        load_settings()
    assert "hidden1" not in str(refused.value)
