"""Reading Dagster's event log for paging: evaluations of asset checks, and runs that failed or succeeded.

All code locations of an instance write to one log. Evaluations and ends of runs have increasing ids in it, across all
assets and runs: SQLite's storage, which has a file for each run, mirrors them into its index, and `SqlEventLogStorage`
reads that index (SqliteEventLogStorage itself would open the file of every run). The table of check executions does not
help: its rows are created when a check is planned, so their ids are not in the order of evaluations.

A transaction can become visible after one with a higher id. So the events of the last minutes are read again each time;
reading an event twice changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation
from dagster._core.events import DagsterEvent, DagsterEventType, JobFailureData

from aegis_dagster.domain.alerts import AlertEvent, AlertKey, AlertKind, Severity, in_label, job_label, told_of
from aegis_dagster.domain.markdown import unescaped
from aegis_dagster.errors import AegisError

READ_AGAIN = timedelta(minutes=5)  # a transaction takes no longer to become visible
_AT_ONCE = 500  # events of a kind
_OURS = f"{AegisError.__module__}."  # how Dagster writes an error of this project
_KINDS = (DagsterEventType.ASSET_CHECK_EVALUATION, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS)
_PARTITION, _FIRST, _LAST = (
    f"dagster/{name}" for name in ("partition", "asset_partition_range_start", "asset_partition_range_end")
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the log."""

    events: Sequence[AlertEvent]
    marks: Sequence[tuple[int, int]]  # for every event: id in the log, time in microseconds
    complete: bool  # no more events for now


def start_of(instance: dg.DagsterInstance, cursor: int) -> int:
    """Where to continue reading: the cursor, or the beginning if the log was created anew since."""
    newest = instance.event_log_storage.get_maximum_record_id() or 0
    return cursor if cursor <= newest else 0


def batches_after(instance: dg.DagsterInstance, cursor: int) -> Iterator[Batch]:
    """All events after an id of the log, in the order of their ids."""
    while True:
        batch = _batch_after(instance, cursor)
        yield batch
        if batch.complete:
            return
        cursor = batch.marks[-1][0]


def _batch_after(instance: dg.DagsterInstance, cursor: int) -> Batch:
    """The next events of each kind, up to the limit. Where one kind has more, the others wait: order is kept."""
    found = {kind: _records(instance, kind, cursor) for kind in _KINDS}
    last = [records[-1].storage_id for records in found.values() if len(records) == _AT_ONCE]
    until = min(last) if last else None
    records = [record for each in found.values() for record in each if until is None or record.storage_id <= until]
    records.sort(key=lambda record: record.storage_id)
    runs = _runs(instance, records)
    events = [event for record in records for event in _events(record, runs)]
    return Batch(events, [(record.storage_id, _at_us(record)) for record in records], complete=until is None)


def _records(instance: dg.DagsterInstance, kind: DagsterEventType, cursor: int) -> Sequence[dg.EventLogRecord]:
    from dagster._core.storage.event_log import SqlEventLogStorage  # loads alembic: half a second of every start

    storage, wanted = instance.event_log_storage, dg.EventRecordsFilter(event_type=kind, after_cursor=cursor)
    if isinstance(storage, SqlEventLogStorage):
        return SqlEventLogStorage.get_event_records(storage, wanted, limit=_AT_ONCE, ascending=True)
    return storage.get_event_records(wanted, limit=_AT_ONCE, ascending=True)


def _runs(instance: dg.DagsterInstance, records: Sequence[dg.EventLogRecord]) -> Mapping[str, dg.DagsterRun]:
    """The runs that ended; those deleted since are left out."""
    ended = {record.run_id for record in records if record.event_type is not DagsterEventType.ASSET_CHECK_EVALUATION}
    if not ended:
        return {}
    return {run.run_id: run for run in instance.get_runs(filters=dg.RunsFilter(run_ids=sorted(ended)))}


def _events(record: dg.EventLogRecord, runs: Mapping[str, dg.DagsterRun]) -> Iterator[AlertEvent]:
    event = record.event_log_entry.dagster_event
    if event is None:
        return
    if event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
        if isinstance(event.event_specific_data, AssetCheckEvaluation):
            yield _of_check(record, event.event_specific_data)
    elif record.run_id in runs:
        yield _of_run(record, event, runs[record.run_id])


def _of_check(record: dg.EventLogRecord, evaluation: AssetCheckEvaluation) -> AlertEvent:
    warns = evaluation.severity is dg.AssetCheckSeverity.WARN
    severity = Severity.WARNING if warns else Severity.CRITICAL
    numbers = {
        name: value.value
        for name, value in evaluation.metadata.items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue) and value.value is not None
    }
    key = AlertKey(
        AlertKind.CHECK,
        in_label(evaluation.asset_key.to_user_string()),
        in_label(evaluation.partition or ""),
        in_label(evaluation.check_name),
    )
    told = told_of(unescaped(evaluation.description or ""), numbers, record.run_id or "")
    return AlertEvent(key, _at_us(record), None if evaluation.passed else severity, told)


def _of_run(record: dg.EventLogRecord, event: DagsterEvent, run: dg.DagsterRun) -> AlertEvent:
    """The event of a run that ended. A job that Dagster makes for chosen assets is identified by the assets."""
    made_for = run.asset_selection if run.job_name.startswith("__") else None
    first, last = run.tags.get(_FIRST, ""), run.tags.get(_LAST, "")
    partition = run.tags.get(_PARTITION) or (f"{first}...{last}" if first else "")
    job = job_label(run.job_name, [asset.to_user_string() for asset in made_for or ()])
    key = AlertKey(AlertKind.RUN, job, in_label(partition))
    failed = event.event_type is DagsterEventType.RUN_FAILURE
    told = told_of(_why(event) if failed else "", {}, run.run_id)
    return AlertEvent(key, _at_us(record), Severity.CRITICAL if failed else None, told)


def _why(event: DagsterEvent) -> str:
    """What Dagster says of a failed run, and the first error of its steps."""
    data = event.event_specific_data
    if not isinstance(data, JobFailureData):  # no step error: its process was gone, or it never began
        return event.message or ""
    error = data.error
    if data.first_step_failure_event is not None:
        step = data.first_step_failure_event.step_failure_data
        if step.user_failure_data is not None and step.user_failure_data.description:
            return f"{event.message}\n{step.user_failure_data.description}"
        error = step.error
    while error is not None and error.cause is not None and not error.message.startswith(_OURS):
        error = error.cause
    return f"{event.message}\n{_words(error.message)}" if error is not None else event.message or ""


def _words(message: str) -> str:
    """Our own errors name the service and the remedy; what a library said below them is in the run's log."""
    return (message.partition(": ")[2] if message.startswith(_OURS) else message).strip()


def _at_us(record: dg.EventLogRecord) -> int:
    return round(record.timestamp * 1_000_000)
