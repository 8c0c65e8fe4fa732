"""One contract for every artifact store: a folder, fsspec's memory and file systems, a bucket of a real S3 server."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.composition.artifacts import ArtifactStore, copy_artifacts
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import DocumentError
from aegis_dagster.progress import Silent
from aegis_dagster.stages.reading import usable
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.bucket_artifacts import BucketArtifacts
from aegis_dagster.stores.read_cache import ReadCache
from aegis_dagster_tests.support.clock import SetClock

NAME, OTHER = "ab" * 32, "cd" * 32
FILES = {
    "document.json": '{"a": 1}',
    "manifest.json": '{"pages": 2, "seconds": 1.5}',
    "pictures/1.png": "a",
    "pictures/2.png": "a",
    "pictures/3.png": "",
}


@dataclass(frozen=True, slots=True)
class Home:
    """A store, and its objects past it. A machine has a local folder of its own."""

    make: Callable[[str], ArtifactStore]
    filesystem: Any
    top: str

    def objects(self) -> list[str]:
        """The paths of all files of the store but records of processes and local copies."""
        self.filesystem.invalidate_cache()
        found = self.filesystem.find(self.top)
        return [path for path in found if "/leftovers/" not in path]

    def damage(self, content: str, *, with_text: str | None) -> None:
        """Change, or remove, whichever objects hold a content."""
        for path in self.objects():
            if self.filesystem.cat_file(path) == content.encode():
                if with_text is None:
                    self.filesystem.rm_file(path)
                else:
                    self.filesystem.pipe_file(path, with_text.encode())


@pytest.fixture(params=["folder", "memory", "file", "s3"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return home_of(request.param, request, tmp_path)


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return home_of(request.param, request, tmp_path)


def home_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    import fsspec

    if kind == "folder":
        folder = tmp_path / "artifacts"
        return Home(lambda machine: FolderArtifacts(folder, SetClock()), fsspec.filesystem("file"), str(folder))
    name, options = f"aegis-{uuid.uuid4().hex[:12]}", {}
    url, top = f"memory://{name}/a", f"/{name}/a"
    if kind == "file":
        url, top = f"file://{tmp_path}/share", f"{tmp_path}/share"
    if kind == "s3":
        options = request.getfixturevalue("s3_server").options
        fsspec.filesystem("s3", **options).mkdir(name)
        url, top = f"s3://{name}/a", f"{name}/a"

    def make(machine: str) -> ArtifactStore:
        cache = ReadCache(tmp_path / machine / "cache", most_bytes=1_000_000)
        return BucketArtifacts(url, options=options, root=tmp_path / machine / "local", cache=cache, clock=SetClock())

    return Home(make, fsspec.filesystem(kind, **options), top)


def publish(store: ArtifactStore, files: dict[str, str] = FILES, name: str = NAME, *, replace: bool = False) -> None:
    with store.staging(Stage.PARSE, name, replace=replace) as folder:
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)


def read(store: ArtifactStore, name: str = NAME) -> dict[str, str]:
    folder = store.path(Stage.PARSE, name)
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "checksums.json"
    }


def test_what_one_machine_publishes_another_reads_and_both_see_the_same(home: Home) -> None:
    here, there = home.make("here"), home.make("there")
    assert not here.exists(Stage.PARSE, NAME) and not there.listed()(Stage.PARSE, NAME)
    assert here.damage(Stage.PARSE, NAME) == "it is gone"
    assert not here.path(Stage.PARSE, NAME).exists()
    publish(here)
    for store in (here, there):
        assert store.exists(Stage.PARSE, NAME) and store.listed()(Stage.PARSE, NAME)
        assert not store.exists(Stage.CHUNK, NAME) and not store.exists(Stage.PARSE, OTHER)
        with store.reading():
            assert store.damage(Stage.PARSE, NAME) is None and store.damage(Stage.PARSE, NAME, in_store=True) is None
            assert read(store) == FILES
            assert store.has_checksums(Stage.PARSE, NAME)
    assert here.path(Stage.PARSE, NAME).name == NAME
    assert here.digest() == there.digest()


def test_a_result_that_is_there_stays_unless_it_is_to_be_replaced(home: Home) -> None:
    here, there = home.make("here"), home.make("there")
    publish(here)
    publish(there, {"manifest.json": "{}"})
    assert read(here) == read(there) == FILES
    before = len(home.objects())
    publish(there, {"manifest.json": "{}"}, replace=True)
    for store in (here, there):
        assert store.damage(Stage.PARSE, NAME) is None
        assert read(store) == {"manifest.json": "{}"}
    assert len(home.objects()) < before  # nothing is left of the first
    publish(there, replace=True)
    assert read(here) == FILES and len(home.objects()) == before


def test_nobody_sees_a_result_that_breaks_off_and_nothing_local_is_left(home: Home, tmp_path: Path) -> None:
    store = home.make("here")
    with (
        pytest.raises(DocumentError, match="something else than files"),
        store.staging(Stage.PARSE, NAME, replace=False) as folder,
    ):
        (folder / "document.json").symlink_to("/etc/passwd")
    with pytest.raises(ZeroDivisionError), store.staging(Stage.CHUNK, NAME, replace=False) as folder:
        (folder / "chunks.json").write_text("[]")
        raise ZeroDivisionError
    assert not store.exists(Stage.PARSE, NAME) and not store.exists(Stage.CHUNK, NAME)
    store.close()
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("content", "changed_to", "told"),
    [
        (FILES["document.json"], '{"a": 2}', "document.json has changed since it was written"),
        (FILES["document.json"], '{"a": 1, "b": 2}', "document.json has changed since it was written"),
        (FILES["document.json"], "", "document.json has changed since it was written"),
        (FILES["manifest.json"], None, "manifest.json is missing"),
    ],
)
def test_damage_is_noticed_by_who_reads_and_made_good_by_who_publishes_again(
    home: Home, content: str, changed_to: str | None, told: str
) -> None:
    publish(home.make("here"))
    store = home.make("there")
    home.damage(content, with_text=changed_to)
    assert store.damage(Stage.PARSE, NAME) == told and store.damage(Stage.PARSE, NAME, in_store=True) == told
    assert not usable(store, Stage.PARSE, NAME)
    assert not store.exists(Stage.PARSE, NAME)
    publish(store)
    assert store.damage(Stage.PARSE, NAME, in_store=True) is None and read(store) == FILES


def test_a_manifest_that_is_damaged_is_told_and_replaced(bucket: Home) -> None:
    store = bucket.make("here")
    for text in ("", "{", '{"format": 2}', '{"format": 1, "data": "x", "files": {}}'):
        publish(store)
        (manifest,) = [path for path in bucket.objects() if path.endswith(".json")]
        bucket.filesystem.pipe_file(manifest, text.encode())
        assert store.exists(Stage.PARSE, NAME) and not store.path(Stage.PARSE, NAME).exists()
        assert store.damage(Stage.PARSE, NAME) == "its manifest cannot be read"
        assert not usable(store, Stage.PARSE, NAME) and not store.exists(Stage.PARSE, NAME)


def test_what_is_withdrawn_is_gone_for_everybody_and_its_files_later(home: Home) -> None:
    here, there = home.make("here"), home.make("there")
    for name in (NAME, OTHER):
        publish(here, name=name)
    with there.reading():
        assert there.damage(Stage.PARSE, NAME) is None
        folder = there.path(Stage.PARSE, NAME)
        here.withdraw([(Stage.PARSE, NAME), (Stage.PARSE, OTHER), (Stage.PARSE, "ef" * 32)])
        for store in (here, home.make("third")):
            assert not store.exists(Stage.PARSE, NAME) and store.damage(Stage.PARSE, OTHER) == "it is gone"
        assert home.objects()
        here.remove_withdrawn()
        assert not home.objects()
        if isinstance(there, BucketArtifacts):  # who is reading goes on
            assert (folder / "document.json").read_text() == FILES["document.json"]
    here.delete(Stage.PARSE, NAME)  # again


def test_the_digest_is_that_of_a_folder_and_does_not_tell_how_long_it_took(home: Home, tmp_path: Path) -> None:
    store, folder = home.make("here"), FolderArtifacts(tmp_path / "folder", SetClock())
    for each in (store, folder):
        publish(each, {**FILES, "z.json": "1", "a/b.txt": "2", "a.txt": "3", "ä.txt": "4"})
        publish(each, {"manifest.json": "no JSON"}, OTHER)
    assert store.digest() == folder.digest()
    publish(
        store,
        {**FILES, "z.json": "1", "a/b.txt": "2", "a.txt": "3", "ä.txt": "4"}
        | {"manifest.json": '{"seconds": 7, "pages": 2}'},
        replace=True,
    )
    assert store.digest() == folder.digest()
    publish(store, {"manifest.json": "{}"}, OTHER, replace=True)
    assert store.digest() != folder.digest()


def test_artifacts_are_copied_from_store_to_store_once(home: Home, tmp_path: Path) -> None:
    source, target = FolderArtifacts(tmp_path / "source", SetClock()), home.make("here")
    publish(source)
    wanted = [(Stage.PARSE, NAME), (Stage.PARSE, OTHER)]
    assert copy_artifacts(wanted, source, target, Silent()) == 1  # there is no OTHER
    objects = home.objects()
    assert copy_artifacts(wanted, source, target, Silent()) == 1
    assert home.objects() == objects
    assert target.digest() == source.digest()


def test_a_store_that_works_says_nothing_and_leaves_nothing(home: Home) -> None:
    store = home.make("here")
    store.clean_staging()
    store.check()
    store.sweep_unused()
    store.close()
    assert not home.objects()
