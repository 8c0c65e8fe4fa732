"""How a step's container ended, and what Dagster is told when it did not report that itself."""

from collections.abc import Collection
from typing import Any

from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.execution.plan import objects
from dagster._core.executor.step_delegating.step_handler.base import StepHandlerContext
from dagster_shared.error import SerializableErrorInfo

from aegis_dagster.defs.containers.engine import last_lines
from aegis_dagster.errors import AegisError, ConfigurationError, ServiceError

# Without types in Dagster.
_RETRY, _FAILURE, _WHY = (vars(objects)[name] for name in ("StepRetryData", "StepFailureData", "UserFailureData"))
MAX_RETRIES = 3
_SIGNALS = 128  # an exit code above it names the signal that ended the process

_ENDS = {DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE, DagsterEventType.STEP_UP_FOR_RETRY}
_BEGINS = {DagsterEventType.STEP_WORKER_STARTED}


def has_reported(context: StepHandlerContext, step: str) -> bool:
    """Whether this attempt of a step has told Dagster its end: what comes after that is nobody's concern."""
    return _told(context, step, _ENDS) > attempts(context, step)


def attempts(context: StepHandlerContext, step: str) -> int:
    """How often the step was tried before."""
    known = context.execute_step_args.known_state
    return known.get_retry_state().get_attempt_count(step) if known else 0


def _told(context: StepHandlerContext, step: str, kinds: Collection[DagsterEventType]) -> int:
    records = context.instance.get_records_for_run(context.dagster_run.run_id, of_type=set(kinds)).records
    return sum(record.event_log_entry.step_key == step for record in records)


def why_silent(context: StepHandlerContext, step: str, container: Any) -> AegisError:
    """The error of a step whose container has ended without a report."""
    state = container.attrs["State"]
    code, name = int(state["ExitCode"]), container.name
    if state.get("OOMKilled"):
        return ConfigurationError(
            f"The container {name} was killed: it needed more memory than its limit.",
            remedy="raise `mem_limit` in containers.container_kwargs, or lower `parse.workers` and `parse.memory_mb`.",
        )
    if code > _SIGNALS:
        return ServiceError(
            f"The container {name} was killed by signal {code - _SIGNALS} before its step had ended{_said(container)}",
            remedy="look who ended it: `docker events`, a restart of the Docker engine, or the kernel for want of "
            "memory (`dmesg`).",
        )
    when = "before its step had ended" if _told(context, step, _BEGINS) else "before its first event"
    return ConfigurationError(
        f"The container {name} ended with exit code {code} {when}{_said(container)}",
        remedy=f"correct what its lines say; `docker run --rm {container.attrs['Config']['Image']} dagster --version` "
        "must work, with aegis_dagster of this version in the image.",
    )


def _said(container: Any) -> str:
    lines = last_lines(container)
    return f". Its last lines:\n{lines}\n" if lines else ", and printed nothing."


def report(context: StepHandlerContext, step: str, error: AegisError, *, seconds: float, may_retry: bool) -> None:
    """Tell Dagster that a step failed, or waits for another try where waiting may help. seconds: before the first."""
    tried, step_context = attempts(context, step), context.get_step_context(step)
    told = SerializableErrorInfo(message=str(error), stack=[], cls_name=type(error).__name__)
    if error.retryable and may_retry and tried < MAX_RETRIES:
        DagsterEvent.step_retry_event(step_context, _RETRY(told, seconds_to_wait=seconds * 3**tried))
        return
    why = _WHY(label="container", description=str(error))
    DagsterEvent.step_failure_event(step_context, _FAILURE(error=told, user_failure_data=why))
