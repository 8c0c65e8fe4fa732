"""Since when a document waits: from its bytes on, not from a change of settings on."""

import pytest

from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.queue_age import waiting_since
from aegis_dagster.domain.stages import Document, Stage, StageState, Status

CHANGED = 1000
DOCUMENT = Document(DocumentId("c/a.txt"), CollectionName("c"), Revision("r"), 1, ".txt")


def mark(
    status: Status, *, current: bool = True, started: int | None = 1500, finished: int | None = 1600
) -> StageState:
    return StageState(status, "now" if current else "before", started_ms=started, finished_ms=finished)


def states(**by_stage: StageState) -> dict[Stage, StageState]:
    """Every stage done with these bytes, but for those given."""
    done = {stage: mark(Status.DONE) for stage in Stage}
    return {**done, **{Stage(name): given for name, given in by_stage.items()}}


RUNNING = mark(Status.RUNNING, started=1700, finished=None)
FAILED = mark(Status.FAILED)
OLD = mark(Status.DONE, current=False, started=500, finished=600)
OTHER_SETTINGS = mark(Status.DONE, current=False)


@pytest.mark.parametrize(
    ("marks", "since"),
    [
        pytest.param({}, CHANGED, id="nothing was done yet"),
        pytest.param({Stage.PARSE: RUNNING}, CHANGED, id="it is parsed right now"),
        pytest.param({Stage.PARSE: mark(Status.DONE)}, CHANGED, id="parsed, and then nothing"),
        pytest.param(states(), None, id="through"),
        pytest.param(states(enrich=mark(Status.SKIPPED), graph=mark(Status.SKIPPED)), None, id="skipped is through"),
        pytest.param(dict.fromkeys(Stage, OLD), CHANGED, id="new bytes, old results"),
        pytest.param({**dict.fromkeys(Stage, OLD), Stage.PARSE: mark(Status.DONE)}, CHANGED, id="new bytes, parsed"),
        pytest.param(dict.fromkeys(Stage, OTHER_SETTINGS), None, id="stale by settings"),
        pytest.param(states(chunk=RUNNING), None, id="chunked again under other settings"),
        pytest.param(states(embed=RUNNING), 1700, id="embedding, perhaps once more"),
        pytest.param(states(embed=RUNNING, graph=mark(Status.RUNNING, started=1650, finished=None)), 1650, id="both"),
        pytest.param({Stage.EMBED: RUNNING}, CHANGED, id="embedding, the graph not begun"),
        pytest.param({Stage.PARSE: FAILED}, None, id="failed"),
        pytest.param({**states(), Stage.ENRICH: mark(Status.DEFERRED)}, None, id="put off"),
        pytest.param(
            {Stage.PARSE: mark(Status.FAILED, current=False, started=500)}, CHANGED, id="the old bytes failed"
        ),
        pytest.param(states(embed=mark(Status.PENDING)), None, id="its points were lost: through once"),
        pytest.param(
            {stage: mark(Status.DONE, started=500, finished=600) for stage in Stage}, None, id="the old bytes are back"
        ),
    ],
)
def test_a_document_waits_until_its_bytes_have_been_through(marks: dict[Stage, StageState], since: int | None) -> None:
    assert waiting_since(DocumentState(DOCUMENT, marks, dict.fromkeys(Stage, "now"), CHANGED)) == since
