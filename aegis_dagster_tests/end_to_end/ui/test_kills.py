"""A part of `aegis dev` is killed while documents are processed, and all is started again: each document is processed
once and found.
"""

from collections.abc import Iterator

import pytest

from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.operator import Operator
from aegis_dagster_tests.support.projects import document_text
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev

pytestmark = pytest.mark.slow

DROPPED = 5  # files, each time: as many as one search finds
STAGES = (Stage.PARSE, Stage.CHUNK, Stage.EMBED, Stage.GRAPH)  # without pictures there is nothing to enrich


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterDev]:
    folder = tmp_path_factory.mktemp("kills")
    (folder / "root").mkdir()
    server = DagsterDev(folder / "home", folder / "root", {"AEGIS_SCHEDULES__WATCHED_FOLDER__ENABLED": "true"})
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("aegis_dagster.defs.daemon", "axolotl"),
        ("code-server", "bagpipe"),
        ("aegis_dagster.defs.webserver", "chandelier"),
        ("", "dromedary"),  # all of it and the run, as in a power failure
    ],
)
def test_what_is_dropped_is_processed_once_whatever_is_killed_meanwhile(
    dev: DagsterDev, operator: Operator, part: str, word: str
) -> None:
    before = [operator.processed(stage) for stage in STAGES]
    names = [f"{word}s/{number}.txt" for number in range(DROPPED)]
    for name in names:
        operator.write(name, f"{document_text(name)}\nThe {word} was counted.\n")
    dev.wait_for(lambda: [run for run in operator.at_work() if run["status"] == "STARTED"], "a run to begin")
    dev.kill(part)
    dev.start()
    operator.wait_until_idle()
    assert [operator.processed(stage) for stage in STAGES] == [count + DROPPED for count in before]
    assert sorted(operator.found(word)) == names
