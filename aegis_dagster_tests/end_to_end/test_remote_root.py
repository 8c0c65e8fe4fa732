"""The command over a watched root behind a URL."""

import uuid
from pathlib import Path

import pytest

from aegis_dagster.settings import as_url, load_settings, watched_root
from aegis_dagster_tests.support.cli_in_process import InProcess


@pytest.fixture
def bucket() -> str:
    return f"bucket-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def aegis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("AEGIS_LISTING__SETTLE_SECONDS", "0")
    return InProcess(tmp_path / "home", monkeypatch)


def test_a_url_is_ingested_as_a_whole_in_part_and_by_one_document(aegis: InProcess, bucket: str) -> None:
    import fsspec

    filesystem = fsspec.filesystem("memory")
    for name, animal in {"c/one.txt": "axolotl", "c/two.txt": "bagpipe", "d/three.txt": "chandelier"}.items():
        filesystem.makedirs(f"/{bucket}/docs/{name}".rpartition("/")[0], exist_ok=True)
        filesystem.pipe_file(f"/{bucket}/docs/{name}", f"The {animal} of the harbour was counted.".encode())
    root = f"memory://{bucket}/docs"
    part = aegis.json("ingest", f"{root}/")
    assert (part["documents"], part["done"]) == (3, 3)
    assert load_settings().root == root  # remembered
    assert aegis.json("status")["root"] == root
    assert aegis.json("search", "axolotl", "--mode", "sparse")["hits"][0]["document"] == "c/one.txt"
    assert "bagpipe" in aegis.json("show", "c/two.txt")["markdown"]
    filesystem.pipe_file(f"/{bucket}/docs/c/one.txt", b"The dromedary of the harbour was counted.")
    filesystem.pipe_file(f"/{bucket}/docs/d/three.txt", b"The euphonium of the ferry was counted.")
    folder = aegis.json("ingest", f"{root}/c")
    assert (folder["documents"], folder["work"]["parsed"]) == (2, 1)
    single = aegis.json("ingest", f"{root}/d/three.txt")
    assert (single["documents"], single["work"]["parsed"]) == (1, 1)
    assert aegis.json("search", "euphonium", "--mode", "sparse")["hits"][0]["document"] == "d/three.txt"
    assert not list((load_settings().home / "downloads").glob("*"))
    refused = aegis.refusal("ingest", "/srv/documents")
    assert f"not below the watched root {root}" in str(refused)
    assert "There is no" in str(aegis.refusal("ingest", f"{root}/nothing"))


def test_one_mail_and_one_document_attached_to_it_are_ingested_alone(aegis: InProcess, bucket: str) -> None:
    import fsspec

    filesystem = fsspec.filesystem("memory")
    mail = 'Subject: Offer 4711\nContent-Type: multipart/mixed; boundary="b"\n\n'
    for name, animal in {"one.txt": "axolotl", "two.txt": "bagpipe"}.items():
        mail += f"--b\nContent-Disposition: attachment; filename={name}\n\nThe {animal} was counted.\n"
    filesystem.makedirs(f"/{bucket}/c", exist_ok=True)
    filesystem.pipe_file(f"/{bucket}/c/m.eml", f"{mail}--b--\n".encode())
    filesystem.pipe_file(f"/{bucket}/c/other.txt", b"The chandelier was counted.")
    assert aegis.json("ingest", f"memory://{bucket}/")["documents"] == 4
    assert aegis.json("search", "4711 bagpipe", "--mode", "sparse")["hits"][0]["document"] == "c/m.eml/two.txt"
    filesystem.pipe_file(f"/{bucket}/c/m.eml", f"{mail}--b--\n".replace("counted", "weighed").encode())
    whole = aegis.json("ingest", f"memory://{bucket}/c/m.eml")
    assert (whole["documents"], whole["done"], whole["work"]["parsed"]) == (3, 3, 3)
    single = aegis.json("ingest", f"memory://{bucket}/c/m.eml/one.txt", "--force-from", "parse")
    assert (single["documents"], single["work"]["parsed"]) == (1, 1)
    assert "weighed" in aegis.json("show", "c/m.eml/one.txt")["markdown"]
    assert "There is no" in str(aegis.refusal("ingest", f"memory://{bucket}/c/m.eml/three.txt"))
    assert not list((load_settings().home / "downloads").glob("*"))


def test_an_empty_root_holds_what_was_in_it_until_somebody_confirms(aegis: InProcess, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "only.txt").write_text("The axolotl of the harbour was counted.")
    assert aegis.json("ingest", str(root))["done"] == 1
    (root / "only.txt").unlink()
    held = aegis("ingest")
    assert held.exit_code == 2 and "The watched root is empty" in held.stderr
    assert [one["documents"] for one in aegis.json("status")["collections"]] == [1]
    assert aegis.json("ingest", "--confirm-deletions")["deleted"] == 1


@pytest.mark.parametrize(
    ("written", "root"),
    [
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("s3:/bucket/prefix", "s3://bucket/prefix"),  # as pathlib leaves it
        ("memory:///x", "memory:///x"),
        ("file:///srv/my%20documents", Path("/srv/my documents")),
        ("/srv/../documents", Path("/documents")),
        ("/srv/a:/b", Path("/srv/a:/b")),
    ],
)
def test_a_root_is_a_url_or_a_path(written: str, root: str | Path) -> None:
    assert watched_root(written) == root


def test_a_path_is_no_url() -> None:
    assert as_url("documents/s3:/x") is None and as_url("relative") is None
