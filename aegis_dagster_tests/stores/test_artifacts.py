"""Artifacts on the disk: each file is opened once to be checked, and what is swept is gone before it is deleted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import DocumentError
from aegis_dagster.stores.artifacts import FolderArtifacts
from aegis_dagster_tests.support.clock import SetClock
from aegis_dagster_tests.support.counting import opened_below

NAME = "ab" * 32


@pytest.fixture
def artifacts(tmp_path: Path) -> FolderArtifacts:
    return FolderArtifacts(tmp_path / "artifacts", SetClock())


def publish(artifacts: FolderArtifacts, files: dict[str, str], name: str = NAME) -> None:
    with artifacts.staging(Stage.PARSE, name, replace=False) as folder:
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)


def opened(artifacts: FolderArtifacts, do: Callable[[], object]) -> int:
    with opened_below(artifacts.root) as events:
        do()
        return events.count("open")


def test_each_file_is_opened_once_to_be_published_and_once_to_be_checked(artifacts: FolderArtifacts) -> None:
    files = {"document.json": "{}", "manifest.json": "{}", "pictures/1.png": "a", "pictures/2.png": "b"}
    # Written, measured, and the checksums written.
    assert opened(artifacts, lambda: publish(artifacts, files)) == 2 * len(files) + 1
    assert opened(artifacts, lambda: artifacts.damage(Stage.PARSE, NAME)) == len(files) + 1
    assert artifacts.damage(Stage.PARSE, NAME) is None
    assert opened(artifacts, lambda: artifacts.listed()(Stage.PARSE, NAME)) == 0


def test_what_is_published_again_costs_no_room(artifacts: FolderArtifacts) -> None:
    for _ in range(2):
        publish(artifacts, {"manifest.json": "{}"})
    assert {path.name for path in artifacts.root.rglob("*") if path.is_file()} == {"manifest.json", "checksums.json"}
    assert len(list(artifacts.root.rglob("*.json"))) == 2


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/passwd")])
def test_what_is_no_file_is_refused_and_told_but_never_opened(
    artifacts: FolderArtifacts, make: Callable[[Path], None]
) -> None:
    with pytest.raises(DocumentError), artifacts.staging(Stage.PARSE, NAME, replace=False) as folder:
        make(folder / "document.json")
    assert not artifacts.exists(Stage.PARSE, NAME)
    publish(artifacts, {"manifest.json": "{}"})
    make(artifacts.path(Stage.PARSE, NAME) / "document.json")
    assert artifacts.damage(Stage.PARSE, NAME) == "document.json is no file"


def test_hidden_files_and_folders_among_the_pictures_of_a_worker_stop_nothing(artifacts: FolderArtifacts) -> None:
    with artifacts.staging(Stage.PARSE, NAME, replace=False) as folder:
        (folder / "pictures" / "deeper").mkdir(parents=True)
        for name in (".hidden.png", "1.png", "deeper/2.png"):
            (folder / "pictures" / name).write_text(name)
    assert artifacts.damage(Stage.PARSE, NAME) is None
    assert (artifacts.path(Stage.PARSE, NAME) / "pictures" / "1.png").stat().st_nlink == 2  # shared


def test_what_is_withdrawn_is_gone_at_once_and_its_files_later(artifacts: FolderArtifacts) -> None:
    other = "cd" * 32
    for name in (NAME, other):
        publish(artifacts, {"manifest.json": "{}", "pictures/1.png": name}, name)
    for name in (NAME, other):
        artifacts.withdraw([(Stage.PARSE, name)])
        assert not artifacts.exists(Stage.PARSE, name)
        assert artifacts.damage(Stage.PARSE, name) == "it is gone"
    assert len(list((artifacts.root / "moving").rglob("manifest.json"))) == 2
    artifacts.remove_withdrawn()
    assert not list(artifacts.root.rglob("*.json")) and not list(artifacts.root.rglob("*.png"))
    assert not any(path.is_file() for path in artifacts.root.rglob("*"))
