"""A vector store that cannot be looked into is down; only one that is not there has no points."""

from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_dagster.composition.vectors import backend
from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.vectors.engines import points_by_collection
from aegis_dagster_tests.support.monitored_homes import make_exporter, make_settings
from aegis_dagster_tests.support.scraping import scrape, served


def leads_to_itself(folder: Path) -> None:
    folder.symlink_to(folder)


def is_a_file(folder: Path) -> None:
    folder.write_text("a file where a folder should be")


@pytest.mark.parametrize("spoil", [leads_to_itself, is_a_file])
def test_what_cannot_be_read_is_down_and_not_empty(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    settings = make_settings(tmp_path)
    folder = settings.vectors_dir / "collection"
    assert points_by_collection(backend(settings), "documents") == {}  # nobody has made it yet
    folder.parent.mkdir()
    spoil(folder)
    with pytest.raises(ServiceError, match=r"vector store .* cannot be used.*ls -ld"):
        points_by_collection(backend(settings), "documents")
    exporter = make_exporter(settings)
    exporter.refresh()
    with served(exporter) as url:
        assert scrape(url).up()["qdrant"] == 0
