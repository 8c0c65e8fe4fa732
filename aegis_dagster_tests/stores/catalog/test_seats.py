"""What runs say about their seats in a cluster, on both engines."""

from aegis_dagster.domain.seats import Lost, SeatFigures
from aegis_dagster.stores.catalog.seats import HEARD_SECONDS, SeatReports
from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.clock import SetClock


def test_runs_add_up_the_cluster_is_one_and_lost_workers_stay_counted(empty_url: str) -> None:
    engine, clock, nothing = open_database(empty_url), SetClock(), SeatFigures()
    seats = SeatReports(engine, clock)
    assert seats.now() == nothing
    first = SeatFigures(nodes=2, lost_nodes=1, ready=3, waiting=1, queue=4, lost={Lost.SEAT: 2})
    seats.report("one", first, nothing)
    seats.report("two", SeatFigures(nodes=3, ready=1, queue=2, lost={Lost.WORKER: 1}), nothing)
    lost = {Lost.SEAT: 2, Lost.WORKER: 1}
    assert seats.now() == SeatFigures(nodes=3, lost_nodes=1, ready=4, waiting=1, queue=6, lost=lost)

    later = SeatFigures(nodes=2, lost_nodes=1, ready=4, lost={Lost.SEAT: 3})
    seats.report("one", later, first)  # counts what is new only
    lost = {Lost.SEAT: 3, Lost.WORKER: 1}
    assert seats.now() == SeatFigures(nodes=3, lost_nodes=1, ready=5, queue=2, lost=lost)

    seats.end("one")
    assert seats.now() == SeatFigures(nodes=3, ready=1, queue=2, lost=lost)
    engine.dispose()


def test_a_run_that_was_killed_has_no_seats_after_a_while_and_is_forgotten(empty_url: str) -> None:
    engine, clock, nothing = open_database(empty_url), SetClock(), SeatFigures()
    seats = SeatReports(engine, clock)
    seats.report("killed", SeatFigures(nodes=2, ready=3, lost={Lost.WORKER: 1}), nothing)
    clock.move(HEARD_SECONDS)
    assert seats.now().ready == 3
    clock.move(1)
    assert seats.now() == SeatFigures(lost={Lost.WORKER: 1})
    seats.end("another")
    clock.move(-HEARD_SECONDS)
    assert seats.now() == SeatFigures(lost={Lost.WORKER: 1})
    engine.dispose()
