"""Pictures do not fill the disk: equal ones are stored once over the corpus, and a document keeps so many."""

import io
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import docx
import pytest
from PIL import Image

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import Settings
from aegis_dagster.settings.stages import ParseSettings
from aegis_dagster.stores.artifact_files import CHECKSUMS
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.parsing.conftest import Parsed, parse_path


def picture(seed: int, side: int = 120) -> bytes:
    """A picture that cannot be compressed."""
    target = io.BytesIO()
    noise = random.Random(seed).randbytes(side * side * 3)
    Image.frombytes("RGB", (side, side), noise).save(target, format="PNG")
    return target.getvalue()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report that shows one picture 30 times, then four others."""
    document = docx.Document()
    document.add_paragraph("The logo of the harbour, again and again.")
    for content in [picture(0)] * 30 + [picture(seed) for seed in (1, 2, 3, 4)]:
        document.add_picture(io.BytesIO(content))
    path = tmp_path_factory.mktemp("report") / "report.docx"
    document.save(str(path))
    return path


def stored_bytes(folder: Path) -> int:
    """What pictures take on the disk: each file once, however many names it has."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != CHECKSUMS]
    return sum({file.stat().st_ino: file.stat().st_size for file in files}.values())


def pictures_in(parsed: Parsed) -> list[Path]:
    return sorted((parsed.folder / "pictures").glob("*"))


def test_a_picture_that_a_document_shows_thirty_times_is_one_file(report: Path, tmp_path: Path) -> None:
    parsed = parse_path(report, tmp_path / "out")
    files = pictures_in(parsed)
    assert len(files) == 34 and parsed.manifest["pictures"] == 34
    assert len({file.stat().st_ino for file in files}) == 5
    assert stored_bytes(parsed.folder / "pictures") < 6 * len(picture(0))
    assert {str(item.image.uri) for item in parsed.document.pictures if item.image} == {
        f"pictures/{file.name}" for file in files
    }
    assert "pictures_left_out" not in parsed.manifest and parsed.manifest["warnings"] == []


@pytest.mark.parametrize(
    ("limit", "kept", "said"),
    [
        ({"max_pictures": 31}, 31, "3 of 34 pictures are left out: parse.max_pictures is 31."),
        ({"max_pictures": 0}, 0, "34 of 34 pictures are left out: parse.max_pictures is 0."),
        ({"max_picture_megabytes": 0}, 0, "34 of 34 pictures are left out: parse.max_picture_megabytes is 0."),
    ],
)
def test_a_document_keeps_so_many_pictures_and_says_which_setting_left_out_the_others(
    report: Path, tmp_path: Path, limit: dict[str, Any], kept: int, said: str
) -> None:
    parsed = parse_path(report, tmp_path / "out", **limit)
    assert len(pictures_in(parsed)) == kept == sum(1 for item in parsed.document.pictures if item.image)
    assert parsed.manifest["warnings"] == [said] and parsed.manifest["pictures_left_out"] == 34 - kept
    assert parsed.manifest["pictures"] == 34


class Store:
    """An artifact store of two documents' pictures."""

    def __init__(self, root: Path) -> None:
        self.artifacts = FolderArtifacts(root, SystemClock())
        self.root = root

    def publish(self, fingerprint: str, *contents: bytes) -> Path:
        with self.artifacts.staging(Stage.PARSE, fingerprint, replace=True) as folder:
            (folder / "pictures").mkdir()
            for number, content in enumerate(contents):
                (folder / "pictures" / f"picture-{number:04d}.png").write_bytes(content)
        return self.artifacts.path(Stage.PARSE, fingerprint) / "pictures"

    def shared(self) -> list[Path]:
        return [file for file in (self.root / "shared").rglob("*") if file.is_file()]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def test_equal_pictures_of_two_documents_are_one_file_until_both_are_gone(store: Store) -> None:
    one = store.publish("aa1", picture(1), picture(2))
    two = store.publish("bb2", picture(2), picture(2), picture(3))
    assert len(store.shared()) == 3
    assert stored_bytes(store.root) == sum(len(picture(seed)) for seed in (1, 2, 3))
    assert (one / "picture-0001.png").samefile(two / "picture-0000.png")
    store.artifacts.delete(Stage.PARSE, "aa1")
    assert (two / "picture-0000.png").read_bytes() == picture(2) and len(store.shared()) == 2
    store.artifacts.delete(Stage.PARSE, "bb2")
    assert store.shared() == [] and stored_bytes(store.root) == 0


def test_what_only_a_deleted_backup_had_is_swept(store: Store, tmp_path: Path) -> None:
    one = store.publish("aa1", picture(1), picture(2))
    store.publish("bb2", picture(2))
    os.link(one / "picture-0000.png", tmp_path / "in a backup")
    store.artifacts.delete(Stage.PARSE, "aa1")
    store.artifacts.sweep_unused()
    assert len(store.shared()) == 2
    (tmp_path / "in a backup").unlink()
    store.artifacts.sweep_unused()
    (left,) = store.shared()
    assert left.read_bytes() == picture(2)


def test_the_digest_is_that_of_a_store_without_shared_files(store: Store, tmp_path: Path) -> None:
    store.publish("aa1", picture(1))
    store.publish("bb2", picture(1))
    alone = FolderArtifacts(tmp_path / "old", SystemClock())
    for fingerprint in ("aa1", "bb2"):  # as an older version wrote it
        folder = alone.path(Stage.PARSE, fingerprint) / "pictures"
        folder.mkdir(parents=True)
        (folder / "picture-0000.png").write_bytes(picture(1))
    assert store.artifacts.digest() == alone.digest()
    alone.delete(Stage.PARSE, "aa1")
    assert (folder / "picture-0000.png").read_bytes() == picture(1)


def test_a_damaged_file_is_not_given_to_the_next_document(store: Store) -> None:
    store.publish("aa1", picture(1))
    (damaged,) = store.shared()
    damaged.write_bytes(b"damaged")
    again = store.publish("bb2", picture(1))
    assert (again / "picture-0000.png").read_bytes() == picture(1)
    made_again = store.publish("aa1", picture(1))
    assert (made_again / "picture-0000.png").samefile(again / "picture-0000.png")


PUBLISHES = """
import itertools, sys
from pathlib import Path
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.stages import Stage
from aegis_dagster.settings import Settings
from aegis_dagster.settings.stages import ParseSettings
from aegis_dagster.stores.artifact_files import CHECKSUMS
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster.stores.clock import SystemClock
artifacts = FolderArtifacts(Path(sys.argv[1]), SystemClock())
print("ready", flush=True)
for turn in itertools.count():
    with artifacts.staging(Stage.PARSE, f"{turn % 7:02d}x", replace=True) as folder:
        (folder / "pictures").mkdir()
        for number in range(3):
            content = b"content of picture %d" % ((turn + number) % 6)
            (folder / "pictures" / f"picture-{number:04d}.png").write_bytes(content)
    artifacts.delete(Stage.PARSE, f"{(turn + 3) % 7:02d}x")
"""


def test_killed_anywhere_no_document_loses_a_picture_and_nothing_is_left(store: Store) -> None:
    """Two processes publish and delete the same pictures until they are killed, three times."""
    for seconds in (0.05, 0.2, 0.4):
        writers = [
            subprocess.Popen([sys.executable, "-c", PUBLISHES, str(store.root)], stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        signal.sigtimedwait([], seconds)
        for writer in writers:
            writer.kill()
            writer.communicate()
        published = list((store.root / "parse").glob("*/*"))
        for folder in published:
            files = sorted((folder / "pictures").iterdir())
            assert [file.name for file in files] == [f"picture-{number:04d}.png" for number in range(3)]
            assert all(re.fullmatch(rb"content of picture [0-5]", file.read_bytes()) for file in files)
    store.artifacts.clean_staging()
    for folder in published:
        store.artifacts.delete(Stage.PARSE, folder.name)
    assert stored_bytes(store.root) == 0


def test_without_hard_links_each_document_has_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    one, two = store.publish("aa1", picture(1)), store.publish("bb2", picture(1))
    assert (one / "picture-0000.png").read_bytes() == (two / "picture-0000.png").read_bytes() == picture(1)
    store.artifacts.delete(Stage.PARSE, "aa1")
    assert (two / "picture-0000.png").exists() and store.shared() == []


def test_another_limit_lets_documents_be_parsed_again_and_the_defaults_change_no_fingerprint(tmp_path: Path) -> None:
    def identity(**parse: Any) -> str:
        return Project(Settings(home=tmp_path, parse=ParseSettings(**parse))).identities.by_stage[Stage.PARSE]

    assert "pictures" not in identity() and identity() == identity(max_pictures=2000)
    changes: list[dict[str, Any]] = [{}, {"max_pictures": 1}, {"max_picture_megabytes": 1}, {"read_hidden": True}]
    assert len({identity(**change) for change in changes}) == 4
