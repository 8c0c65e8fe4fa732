"""How many requests the embedded engine gets for many points."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster_tests.support.points import points_of
from aegis_dagster_tests.support.points_writer import FOLDERS, open_store


@contextmanager
def requests_to_shards() -> Iterator[Counter[str]]:
    """The calls of the engine's own functions while the block runs, by their names."""
    made: Counter[str] = Counter()

    def note(_frame: FrameType, event: str, function: object) -> None:
        if event == "c_call" and type(getattr(function, "__self__", None)).__name__ == "EdgeShard":
            made[getattr(function, "__name__", "")] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield made
    finally:
        sys.setprofile(before)


def test_a_thousand_points_of_a_hundred_documents_take_two_writes(tmp_path: Path) -> None:
    store = open_store(FOLDERS["edge"](tmp_path / "vectors"))
    names = [DocumentId(f"c/ä '{number}' \\ \"b\".txt") for number in range(100)]
    points = [
        point for name in names for point in points_of(name, [f"Passage {part} of {name}" for part in range(10)], "f")
    ]
    with store.opened():
        store.replace_documents([], {})  # makes the collection
        with requests_to_shards() as written:
            store.replace_documents(points, dict.fromkeys(names, "f"))
        with requests_to_shards() as replaced:
            store.replace_documents(points[::2], dict.fromkeys(names, "f"))
        with requests_to_shards() as counted:
            assert store.counts_by_document() == dict.fromkeys(names, 5)
        with requests_to_shards() as deleted:
            store.delete_documents(names)
        assert store.count() == 0
    assert (written["update"], written["scroll"], written["flush"]) == (2, 1, 1)
    assert (replaced["update"], replaced["scroll"], replaced["flush"]) == (2, 1, 1)  # one of them deletes
    assert (counted["facet"], counted["scroll"]) == (1, 0)
    assert (deleted["update"], deleted["flush"]) == (1, 1)
