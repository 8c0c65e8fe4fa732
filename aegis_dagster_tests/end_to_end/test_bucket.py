"""A home with its artifacts in a bucket of a real S3 server: as in a folder, audited, backed up and restored."""

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from aegis_dagster.cli.audit import audit
from aegis_dagster.cli.backups import back_up, restore
from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster.progress import Silent
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.projects import bring_up, write_documents
from aegis_dagster_tests.support.servers.s3 import S3Server
from aegis_dagster_tests.support.tasks_in_process import TasksInProcess

NAMES = ("harbour/ant.txt", "harbour/bee.md", "survey/cat.txt")


def test_a_bucket_holds_what_a_folder_would_and_is_audited_backed_up_and_restored(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    bucket = f"aegis-{uuid.uuid4().hex[:12]}"
    filesystem = fsspec.filesystem("s3", **s3_server.options)
    filesystem.mkdir(bucket)
    write_documents(tmp_path / "root", NAMES)
    monkeypatch.setenv("AEGIS_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    folder = project_at(tmp_path / "folder", monkeypatch)
    asyncio.run(bring_up(folder))

    monkeypatch.setenv("AEGIS_ARTIFACTS__URL", f"s3://{bucket}/a")
    monkeypatch.setenv("AEGIS_ARTIFACTS__OPTIONS", json.dumps(s3_server.options))
    aegis = InProcess(tmp_path / "bucket", monkeypatch)
    assert aegis.json("ingest")["done"] == len(NAMES)  # by workers of their own
    project = project_at(tmp_path / "bucket", monkeypatch)
    assert digests(project) == digests(folder)
    assert not list((tmp_path / "bucket" / "artifacts").rglob("*.json"))
    reports = asyncio.run(bring_up(project))
    assert reports[Stage.PARSE].up_to_date == len(NAMES)
    back_up(project, tmp_path / "backup", Silent())

    chunks = next(path for path in filesystem.find(f"{bucket}/a/data") if "/chunk-" in path)
    filesystem.pipe_file(chunks, b"damaged")
    found = audit(project, Silent(), repair=True)  # past the sound copy that is here
    assert (found.artifacts.checked, len(found.artifacts.damaged)) == (6, 1)
    reports = asyncio.run(bring_up(project))
    assert reports[Stage.CHUNK].work["chunked"] == 1 and digests(project) == digests(folder)
    assert not audit(project, Silent(), repair=False).artifacts.damaged

    (tmp_path / "root" / NAMES[2]).unlink()
    before = len(filesystem.find(f"{bucket}/a"))
    asyncio.run(bring_up(project, confirmed=True))
    filesystem.invalidate_cache()
    assert len(filesystem.find(f"{bucket}/a")) < before  # swept

    monkeypatch.setenv("AEGIS_ARTIFACTS__URL", f"s3://{bucket}/b")
    restored = restore(load_settings(tmp_path / "restored"), tmp_path / "backup", Silent())
    assert (restored.artifacts, restored.left_out) == (6, 0)
    assert project_at(tmp_path / "restored", monkeypatch).artifacts.digest() == folder.artifacts.digest()
    filesystem.invalidate_cache()
    assert not filesystem.find(f"{bucket}/b/leftovers")


def project_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project of a home by the settings of the moment."""
    monkeypatch.setenv("AEGIS_HOME", str(home))
    return Project(load_settings(), tasks=TasksInProcess())
