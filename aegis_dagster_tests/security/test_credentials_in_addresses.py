"""A credential in an address is refused with the remedy; it is neither shown nor stored."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.addresses import holds_secret, without_secrets
from aegis_dagster.errors import ConfigurationError, ServiceError
from aegis_dagster.settings import load_settings
from aegis_dagster.stores.database import no_database, shown_database
from aegis_dagster_tests.support.cli_in_process import InProcess

SECRET = "s3cr3t"
WITH_SECRET = [
    f"s3://AKIAKEY:{SECRET}@bucket/prefix",
    f"s3://AKIAKEY:{SECRET}/with/slashes@bucket",
    f"s3://AKIAKEY:123/{SECRET}@bucket",
    f"s3://AKIAKEY:{SECRET}%40bucket",
    f"S3://{SECRET}@bucket",
    f"https://me:{SECRET}@files.example.com/documents",
    f"https://{SECRET}@files.example.com/documents",
    f"https://files.example.com/documents?access_token={SECRET}",
    f"https://account.blob.core.windows.net/box?sv=2024&sig={SECRET}",
    f"https://bucket.s3.amazonaws.com/x?X-Amz-Signature={SECRET}",
    f"https://files.example.com/documents#token={SECRET}",
    f"sftp://me:{SECRET}@host/documents",
    f"smb://domain;me:{SECRET}@host/share",
    f"ftp://me:{SECRET}@[::1]:2121/documents",
    f"simplecache::s3://AKIAKEY:{SECRET}@bucket/prefix",
    f"zip://*.csv::s3://AKIAKEY:{SECRET}@bucket/all.zip",
    f"s3:///AKIAKEY:{SECRET}@bucket/prefix",
    f" s3://AKIAKEY:{SECRET}@bucket/prefix",
    f"git://AKIAKEY:{SECRET}@host",
    f"sftp://me%3A{SECRET}@host/documents",
    f"abfs://box@account.dfs.core.windows.net/documents;AccountKey={SECRET}",
]
# The same rule, without a command for each.
ALSO_WITH_SECRET = [
    f"\t\ufeffs3://AKIAKEY:{SECRET}@bucket",
    f"s3:////AKIAKEY:{SECRET}@bucket",
    f"github://:ghp_{SECRET}@main/documents",
    f"github://organisation:ghp_{SECRET}@main/documents",
    f"github://{SECRET}@main/documents",
    f"sftp://me%253A{SECRET}@host/documents",
    f"https://me:12%2F{SECRET}@host/documents",
    f"abfs://box;AccountKey={SECRET}",
    f"https://[::1]/documents?token={SECRET}",
    *(
        f"https://files.example.com/documents?{name}={SECRET}"
        for name in ("subscription-key", "pat", "jwt", "pw", "session", "delegation", "Ocp-Apim-Subscription-Key")
    ),
]
WITHOUT = [
    "s3://bucket/prefix",
    "s3://bucket/a@b:c/d",
    "https://files.example.com:8443/documents?folder=1",
    "http://[::1]:9000/documents",
    "sftp://me@host:2222/documents",
    "abfs://container@account.dfs.core.windows.net/documents",
    "github://organisation:repository@main/documents",
    "/srv/documents/a:b@c",
    "documents",
    "file:///srv/a@b",
    "file:///a@b",
    "s3:///bucket/a@b:c",
    "simplecache::https://files.example.com/documents",
    "https://files.example.com/documents?author=me&path=a&sort=1",
]


@pytest.mark.parametrize("address", WITH_SECRET)
def test_a_root_with_a_credential_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    aegis = InProcess(tmp_path / "home", monkeypatch)
    (tmp_path / "aegis.yaml").write_text(json.dumps({"root": address}))
    said = [aegis("ingest"), aegis("doctor"), aegis("status", "--json")]
    (tmp_path / "aegis.yaml").unlink()
    said += [aegis("ingest", address), aegis("ingest", address, "--dry-run", "--json"), aegis("forecast", address)]
    (tmp_path / "documents").mkdir()
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "documents"))
    said += [aegis("ingest", address), aegis("ingest", str(tmp_path / "documents"), address)]
    assert {done.exit_code for done in said} == {2}
    assert "AWS_ACCESS_KEY_ID" in said[0].stderr
    shown = "".join(done.stdout + done.stderr + str(done.exception and done.exception.__cause__) for done in said)
    assert SECRET not in shown and "AKIAKEY" not in shown
    stored = [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert stored == []


@pytest.mark.parametrize("address", ALSO_WITH_SECRET)
def test_a_credential_is_found_however_it_is_written(address: str) -> None:
    assert holds_secret(address)


@pytest.mark.parametrize("address", [*WITH_SECRET, *ALSO_WITH_SECRET, f"me:{SECRET}@host/x", f"host/x?key={SECRET}"])
def test_an_address_is_shown_without_its_credential(address: str) -> None:
    assert SECRET not in without_secrets(address)


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_a_credential_is_taken(address: str) -> None:
    assert not holds_secret(address)


def test_a_credential_that_was_stored_before_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aegis = InProcess(tmp_path / "home", monkeypatch)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "root").write_text(WITH_SECRET[0])
    refused = aegis("status")
    assert refused.exit_code == 2 and "AEGIS_HOME" in refused.stderr and SECRET not in refused.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AEGIS_ALERTS__RUNBOOK_URL", f"https://me:{SECRET}@wiki.example.com"),
        ("AEGIS_ALERTS__ALERTMANAGER", f"https://alerts.example.com/?token={SECRET}"),
        ("AEGIS_METRICS__PUSHGATEWAY", f"https://push.example.com?api_key={SECRET}"),
        ("AEGIS_DATABASE", f"postgresql+psycopg2://me:pass@{SECRET}@127.0.0.1/aegis"),
    ],
)
def test_other_addresses_with_a_credential_are_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert SECRET not in f"{refused.value} {refused.value.__cause__}"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg2://me:{SECRET}@127.0.0.1:1/aegis",
        f"postgresql+psycopg2://127.0.0.1:1/aegis?user=me&password={SECRET}",
    ],
)
def test_the_password_of_the_database_is_used_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    assert shown_database(sa.engine.make_url(url)) == "postgresql+psycopg2://127.0.0.1:1/aegis"
    assert isinstance(no_database(url), ServiceError) and SECRET not in str(no_database(url))
    monkeypatch.setenv("AEGIS_DATABASE", url)
    aegis = InProcess(tmp_path / "home", monkeypatch)
    said = [aegis(*command) for command in (["status"], ["doctor"], ["doctor", "--json"], ["costs"])]
    assert all(done.exit_code for done in said)
    assert SECRET not in "".join(done.stdout + done.stderr for done in said)


def test_an_address_is_shown_without_what_could_be_secret() -> None:
    assert without_secrets("https://me:pw@host:8443/v1?key=x#y") == "https://host:8443/v1"
    assert without_secrets("/srv/a@b") == "/srv/a@b"
    assert without_secrets("sqlite:////srv/a@b/aegis.db") == "sqlite:////srv/a@b/aegis.db"
    assert without_secrets("zip://a.csv::s3://key:pw@bucket/x") == "zip://a.csv::s3://bucket/x"
