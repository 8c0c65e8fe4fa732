"""Which collections get a run at a tick, and which wait for the next."""

from aegis_dagster.domain.identifiers import CollectionName
from aegis_dagster.domain.run_requests import Turn, turn_of

A, B, C, D = (CollectionName(name) for name in "abcd")


def test_the_most_documents_come_first_and_who_has_a_run_gets_no_other() -> None:
    turn = turn_of({A: 1, B: 7, C: 7, D: 9}, at_work=[D, CollectionName("e")], last_ms={}, most=2)
    assert turn == Turn((B, C), (D,), (A,))
    assert turn.told() == "A run is at work on: d. Requested by the next tick: a."
    assert turn_of({A: 1}, at_work=[], last_ms={}, most=2).told() == ""


def test_a_long_line_is_cut() -> None:
    many = {CollectionName(f"{number:02}"): 1 for number in range(12)}
    told = turn_of(many, at_work=many, last_ms={}, most=2).told()
    assert told.endswith("08, 09 and 2 more.")


def test_nobody_waits_for_ever_behind_work_that_never_ends() -> None:
    documents, last_ms = {A: 9, B: 8, C: 2, D: 1}, dict[CollectionName, int]()
    nights: list[CollectionName] = []
    for night in range(1, 5):
        requested = turn_of(documents, at_work=[], last_ms=last_ms, most=1).requested
        last_ms.update(dict.fromkeys(requested, night))
        nights += requested
    assert nights == [A, B, C, D]
