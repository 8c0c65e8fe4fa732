"""Claims, leases and outcomes on a real SQLite file and on a real Postgres."""

import multiprocessing
from collections.abc import Iterator, Mapping
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TypeAlias

import pytest
import sqlalchemy as sa

from aegis_dagster.domain.fingerprints import Identities
from aegis_dagster.domain.identifiers import CollectionName, DocumentId, Revision
from aegis_dagster.domain.listing import Listing, SeenFile, diff_listing
from aegis_dagster.domain.stages import Document, Failure, Outcome, Stage, StageState, Status
from aegis_dagster.errors import FailureCode, ServiceError
from aegis_dagster.stores.catalog.claims import Catalog
from aegis_dagster.stores.catalog.documents import DocumentList
from aegis_dagster.stores.catalog.schema import stage_states
from aegis_dagster.stores.catalog.states import DocumentStates
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster.stores.database import open_database, write
from aegis_dagster_tests.support.clock import SetClock

A = DocumentId("c/a.txt")
WANT = {A: (Revision("r1"), "f1")}
DONE = Outcome(Status.DONE, {"pages": 2})


def recorded(catalog: Catalog, document_id: DocumentId) -> Mapping[Stage, StageState]:
    document = Document(document_id, CollectionName("a"), Revision("r1"), 1, ".txt")
    identities = Identities(dict.fromkeys(Stage, "1"), {})
    return DocumentStates(catalog.engine, identities).one(document).recorded


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def engine(tables_url: str) -> Iterator[sa.Engine]:
    engine = open_database(tables_url)
    yield engine
    engine.dispose()


@pytest.fixture
def documents(engine: sa.Engine, clock: SetClock) -> DocumentList:
    listed = DocumentList(engine, clock)
    put(listed, {A: "r1"})
    return listed


@pytest.fixture
def catalog(engine: sa.Engine, clock: SetClock, documents: DocumentList) -> Catalog:
    return Catalog(engine, clock, lease_seconds=60)


def put(listed: DocumentList, files: dict[DocumentId, str]) -> None:
    listing = Listing({name: SeenFile(Revision(value), value, 1) for name, value in files.items()})
    listed.apply(listing, diff_listing(listing, listed.known()), delete=True)


def test_a_document_is_given_out_once(engine: sa.Engine, clock: SetClock, catalog: Catalog) -> None:
    other = Catalog(engine, clock, lease_seconds=60)
    assert catalog.claim(Stage.PARSE, WANT) == [A]
    assert other.claim(Stage.PARSE, WANT) == []
    assert other.held_by_others(Stage.PARSE, [A]) == {A}


def test_a_lease_expires_unless_it_is_renewed(engine: sa.Engine, clock: SetClock, catalog: Catalog) -> None:
    other = Catalog(engine, clock, lease_seconds=60)
    catalog.claim(Stage.PARSE, WANT)
    clock.move(50)
    catalog.renew()
    clock.move(50)
    assert other.claim(Stage.PARSE, WANT) == []
    clock.move(11)
    assert other.claim(Stage.PARSE, WANT) == [A]
    catalog.finish(Stage.PARSE, {A: ("f1", DONE)})  # too late: the lease is another's
    assert recorded(catalog, A)[Stage.PARSE].status is Status.RUNNING


def test_what_is_done_is_not_given_out_again_unless_forced_or_stale(catalog: Catalog) -> None:
    catalog.claim(Stage.PARSE, WANT)
    catalog.finish(Stage.PARSE, {A: ("f1", DONE)})
    assert recorded(catalog, A)[Stage.PARSE].facts == {"pages": 2}
    assert catalog.claim(Stage.PARSE, WANT) == []
    assert catalog.claim(Stage.PARSE, WANT, force=[A]) == [A]
    catalog.finish(Stage.PARSE, {A: ("f1", DONE)})
    assert catalog.claim(Stage.PARSE, {A: (Revision("r1"), "f2")}) == [A]


def test_work_planned_for_an_older_revision_is_not_given_out(catalog: Catalog, documents: DocumentList) -> None:
    put(documents, {A: "r2"})
    assert catalog.claim(Stage.PARSE, WANT) == []


def test_attempts_count_up_for_the_same_input_and_begin_anew_for_another(catalog: Catalog) -> None:
    failure = Failure(FailureCode.TIMEOUT, "slow", "wait", True)
    for attempt in (1, 2, 3):
        assert catalog.claim(Stage.PARSE, WANT) == [A]
        catalog.finish(Stage.PARSE, {A: ("f1", Outcome(Status.FAILED, failure=failure))})
        assert recorded(catalog, A)[Stage.PARSE].attempts == attempt
    assert catalog.claim(Stage.PARSE, WANT) == []  # tried often enough
    assert catalog.reset_failures([A]) == 1
    assert catalog.claim(Stage.PARSE, WANT) == [A]
    assert recorded(catalog, A)[Stage.PARSE].attempts == 1


def test_an_outcome_in_words_that_no_store_takes_is_recorded(catalog: Catalog) -> None:
    failure = Failure(FailureCode.BAD_ANSWER, "It said \ud83d and \x00.", "look at \udfff.", True)
    catalog.claim(Stage.PARSE, WANT)
    catalog.finish(Stage.PARSE, {A: ("f1", Outcome(Status.FAILED, {"why": "half \ud83d"}, failure))})
    state = recorded(catalog, A)[Stage.PARSE]
    assert state.failure is not None
    assert (state.failure.message, state.failure.remedy) == ("It said \ufffd and \ufffd.", "look at \ufffd.")
    assert state.facts == {"why": "half \ufffd"}


def test_a_released_claim_costs_no_attempt(catalog: Catalog) -> None:
    catalog.claim(Stage.PARSE, WANT)
    catalog.release(Stage.PARSE, [A])
    state = recorded(catalog, A)[Stage.PARSE]
    assert (state.status, state.attempts) == (Status.PENDING, 0)


def test_a_claim_that_could_not_be_released_is_waited_for_by_other_processes_only(
    engine: sa.Engine, catalog: Catalog, clock: SetClock
) -> None:
    def stop(*_: object) -> None:
        raise sa.exc.OperationalError("", None, ConnectionError("the server is gone"))

    catalog.claim(Stage.PARSE, WANT)
    sa.event.listen(engine, "before_cursor_execute", stop)
    with pytest.raises(ServiceError):
        catalog.release(Stage.PARSE, [A])
    sa.event.remove(engine, "before_cursor_execute", stop)
    again = Catalog(engine, clock, lease_seconds=60)
    assert again.held_by_others(Stage.PARSE, [A]) == set()
    assert again.claim(Stage.PARSE, WANT) == [A]
    catalog.renew()  # releases what it could not release, and nothing of another owner
    assert catalog.held_by_others(Stage.PARSE, [A]) == {A}


def test_a_claim_of_a_process_that_ended_costs_no_attempt(catalog: Catalog, clock: SetClock) -> None:
    for _ in range(3):
        killed = Catalog(catalog.engine, clock, lease_seconds=60)
        assert killed.claim(Stage.PARSE, WANT) == [A]
        clock.move(61)
    catalog.claim(Stage.PARSE, WANT)
    failure = Failure(FailureCode.TIMEOUT, "slow", "wait", True)
    catalog.finish(Stage.PARSE, {A: ("f1", Outcome(Status.FAILED, failure=failure))})
    assert recorded(catalog, A)[Stage.PARSE].attempts == 1


def test_an_artifact_nobody_uses_is_swept_and_one_in_use_stays(
    catalog: Catalog, documents: DocumentList, engine: sa.Engine
) -> None:
    twin = DocumentId("c/twin.txt")
    put(documents, {A: "r1", twin: "r1"})
    both = {A: (Revision("r1"), "f1"), twin: (Revision("r1"), "f1")}
    catalog.claim(Stage.PARSE, both)
    catalog.finish(Stage.PARSE, {A: ("f1", DONE), twin: ("f1", DONE)})
    swept: list[str] = []

    def sweep() -> None:
        catalog.sweep(catalog.garbage(), lambda unused: swept.extend(fingerprint for _, fingerprint in unused))

    put(documents, {twin: "r1"})
    documents.forget(catalog.claim_deleted(limit=99))
    sweep()
    assert swept == []
    put(documents, {})
    documents.forget(catalog.claim_deleted(limit=99))
    sweep()
    assert swept == ["f1"]
    assert catalog.garbage() == []


def test_a_deleted_document_is_not_removed_while_somebody_works_on_it(
    catalog: Catalog, documents: DocumentList, clock: SetClock
) -> None:
    other = Catalog(catalog.engine, clock, lease_seconds=60)
    other.claim(Stage.EMBED, WANT)
    put(documents, {})
    assert catalog.claim_deleted(limit=99) == []
    other.release(Stage.EMBED, [A])
    assert catalog.claim_deleted(limit=99) == [A]


def test_a_document_that_comes_back_while_it_is_removed_is_published_again(
    catalog: Catalog, documents: DocumentList, clock: SetClock
) -> None:
    other = Catalog(catalog.engine, clock, lease_seconds=60)
    catalog.claim(Stage.EMBED, WANT)
    catalog.finish(Stage.EMBED, {A: ("f1", DONE)})
    put(documents, {})
    assert catalog.claim_deleted(limit=99) == [A]  # from here on its points are being removed
    put(documents, {A: "r1"})
    assert other.claim(Stage.EMBED, WANT) == []
    assert documents.known().keys() == {A}
    documents.forget([A])
    catalog.release(Stage.EMBED, [A])
    assert other.claim(Stage.EMBED, WANT) == [A]


def test_a_moved_document_keeps_its_finished_artifacts(catalog: Catalog, documents: DocumentList) -> None:
    catalog.claim(Stage.PARSE, WANT)
    catalog.finish(Stage.PARSE, {A: ("f1", DONE)})
    moved = DocumentId("d/b.txt")
    put(documents, {moved: "r1"})
    assert recorded(catalog, moved)[Stage.PARSE].status is Status.DONE
    assert documents.deleted() == [A]


def test_a_folder_name_with_wildcards_means_itself(documents: DocumentList) -> None:
    names = [DocumentId(name) for name in ("a%/x", "ab/x", "a%", "a%b")]
    put(documents, dict.fromkeys(names, "r"))
    assert [document.id for document in documents.within("a%")] == ["a%", "a%/x"]


Claims: TypeAlias = "multiprocessing.Queue[list[DocumentId]]"


def _claim_many(url: str, found: Claims, leave: Event, wanted: dict[DocumentId, tuple[Revision, str]]) -> None:
    catalog = Catalog(open_database(url), SystemClock(), lease_seconds=60)
    found.put([name for item in wanted.items() for name in catalog.claim(Stage.PARSE, dict([item]))])
    leave.wait(60)


def test_processes_that_claim_at_once_never_get_the_same_document(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'many.db'}"
    names = [DocumentId(f"c/{number}") for number in range(100)]
    put(DocumentList(open_database(url), SystemClock()), dict.fromkeys(names, "r1"))
    context = multiprocessing.get_context("spawn")
    found: Claims = context.Queue()
    leave = context.Event()  # a process that is gone loses its claims: all stay until all have claimed
    wanted = {name: (Revision("r1"), "f1") for name in names}
    processes = [context.Process(target=_claim_many, args=(url, found, leave, wanted)) for _ in range(4)]
    for process in processes:
        process.start()
    claimed = [name for _ in processes for name in found.get(timeout=60)]
    leave.set()
    for process in processes:
        process.join()
    assert sorted(claimed) == sorted(names)


def test_the_claim_of_a_killed_process_is_free_at_once(tmp_path: Path, clock: SetClock) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    engine = open_database(url)
    put(DocumentList(engine, clock), {A: "r1"})
    context = multiprocessing.get_context("spawn")
    found: Claims = context.Queue()
    leave = context.Event()
    process = context.Process(target=_claim_many, args=(url, found, leave, WANT))
    process.start()
    assert found.get(timeout=60) == [A]
    process.kill()
    process.join()
    assert Catalog(engine, SystemClock(), lease_seconds=600).claim(Stage.PARSE, WANT) == [A]


def test_the_claims_of_a_container_that_is_gone_are_released_and_no_others(engine: sa.Engine, catalog: Catalog) -> None:
    owners = {"step_1.4026532281|7|0|x": True, "step_1-2.4026532282|7|0|x": False, "stepX1.4026532283|7|0|x": False}
    for owner, is_gone in owners.items():
        catalog.claim(Stage.PARSE, WANT, force=[A])
        with write(engine) as connection:
            connection.execute(sa.update(stage_states).values(lease_owner=owner))
        other = Catalog(engine, SetClock(), lease_seconds=60)
        assert other.held_by_others(Stage.PARSE, [A]) == {A}
        other.release_container("step_1")
        assert other.claim(Stage.PARSE, WANT, force=[A]) == ([A] if is_gone else [])
        catalog.release_container(owner.partition(".")[0])


def test_a_write_that_fails_leaves_nothing_behind(engine: sa.Engine, catalog: Catalog) -> None:
    with pytest.raises(RuntimeError, match="in the middle"), write(engine) as connection:
        connection.execute(sa.insert(stage_states).values(document_id=A, stage="parse", status="done", fingerprint="x"))
        raise RuntimeError("in the middle")
    assert recorded(catalog, A) == {}
