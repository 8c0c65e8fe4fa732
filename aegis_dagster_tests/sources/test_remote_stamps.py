"""Objects of filesystems that say little of them, among them a real web server."""

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import KnownFile, Listing, diff_listing
from aegis_dagster.sources.remote_folder import RemoteFolder
from aegis_dagster.sources.remote_stamps import remote_file
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.missing import missing

_MISSING = "fsspec's web client is not installed; `pip install 'aegis_dagster[dev,s3]'` installs it."
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("info", "modified"),
    [
        ({"modify": "20261125120000"}, NOON),  # ftp, MLSD
        ({"modify": "20261125120000.250"}, NOON),
        ({"modify": "Nov 25 12:00"}, None),  # ftp, LIST
        ({"modificationTime": int(NOON.timestamp() * 1000)}, NOON),  # webhdfs
        ({"mtime": NOON.timestamp()}, NOON),  # smb
        ({"mtime": NOON}, NOON),  # sftp
        ({"LastModified": NOON, "ETag": '"a"'}, NOON),  # s3
        ({"sha": "1f"}, None),  # github
    ],
)
def test_what_filesystems_say_is_a_mark_and_mostly_a_time(info: Mapping[str, Any], modified: datetime | None) -> None:
    file = remote_file({"name": "a.txt", "type": "file", "size": 3, **info})
    assert (file.marked, file.modified) == (True, modified and modified.timestamp())
    for key in info:
        assert remote_file({"size": 3, **info, key: "another"}).stamp != file.stamp


def test_the_stamps_of_earlier_catalogs_stay_as_they_are() -> None:
    info = {"ETag": '"a"', "LastModified": NOON, "size": 3, "StorageClass": "STANDARD"}
    assert remote_file(info).stamp == '3:2026-11-25 12:00:00+00:00:"a"'


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test prints nothing."""


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, RemoteFolder]]:
    """A folder, and the root at which a web server shows it: it lists names and nothing else."""
    if importlib.util.find_spec("aiohttp") is None:
        missing(_MISSING)
    folder = tmp_path / "root"
    (folder / "c").mkdir(parents=True)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield (
            folder,
            RemoteFolder(
                url,
                options={},
                ignore=(),
                settle_seconds=0,
                clock=SystemClock(),
                downloads=tmp_path / "downloads",
                max_megabytes=1,
            ),
        )
        server.shutdown()
        serving.join()


def known(listing: Listing) -> dict[DocumentId, KnownFile]:
    return {name: KnownFile(file.revision, file.stamp, file.size_bytes) for name, file in listing.files.items()}


def test_files_of_which_only_names_are_listed_are_read_each_time(website: tuple[Path, RemoteFolder]) -> None:
    folder, source = website
    for name, text in {"a.txt": "one", "b.txt": "two", "big.txt": "x" * 1_000_001}.items():
        (folder / "c" / name).write_text(text)
    before = known(source.scan({}))
    assert sorted(before) == ["c/a.txt", "c/b.txt", "c/big.txt"]
    assert before[DocumentId("c/big.txt")].revision.startswith("unread-")
    same = diff_listing(source.scan(before), before)
    assert (same.unchanged, same.touched) == (3, ())
    (folder / "c" / "a.txt").write_text("six")  # the same size
    (folder / "c" / "b.txt").rename(folder / "c" / "moved.txt")
    hurried = source.scan(before, read_seconds=0)  # what is known is not held up by what cannot be read now
    assert (sorted(hurried.files), sorted(hurried.unread)) == (["c/a.txt", "c/big.txt"], ["c/moved.txt"])
    diff = diff_listing(source.scan(before), before)
    assert (diff.changed, diff.moved, diff.deleted) == (("c/a.txt",), (("c/b.txt", "c/moved.txt"),), ())
