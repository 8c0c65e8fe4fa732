"""The one place where the project's errors become Dagster's."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from aegis_dagster.errors import AegisError

MAX_RETRIES = 3


@contextmanager
def dagster_errors(seconds_before_retry: float) -> Iterator[None]:
    """A broken service makes the step retry; anything else an operator must mend fails it at once."""
    try:
        yield
    except AegisError as error:
        if error.retryable:
            raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=seconds_before_retry) from error
        raise dg.Failure(description=str(error), allow_retries=False) from error
