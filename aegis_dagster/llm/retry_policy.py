"""The table of call errors and of how the gateway handles each."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from aegis_dagster.llm.answer import Answer


class ErrorType(StrEnum):
    """Written to ledger rows and counted by metrics. Stable."""

    RATE_LIMIT = "rate_limit"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TIMEOUT = "timeout"
    CONNECTION = "connection"  # nothing was sent: refused, no such host
    CONNECTION_LOST = "connection_lost"  # lost after the request was sent
    BAD_RESPONSE = "bad_response"  # HTML, broken JSON, no choices
    SERVER_ERROR = "server_error"
    CONTEXT_WINDOW = "context_window"
    CONTENT_REFUSED = "content_refused"
    BAD_REQUEST = "bad_request"
    AUTH = "auth"
    NOT_FOUND = "not_found"


class Then(StrEnum):
    """What follows when retrying did not help or is pointless."""

    NEXT_TIER = "next_tier"  # if none is left, the document is deferred
    NEXT_TIER_OR_FAIL = "next_tier_or_fail"  # the content is at fault: if no other model takes it, the document fails


class Rest(StrEnum):
    """What a failure means for the provider's health."""

    NO = "no"  # it answered as it should
    COUNT = "count"  # after several in a row the provider rests
    AT_ONCE = "at_once"  # it cannot work until somebody fixes it


@dataclass(frozen=True, slots=True)
class Decision:
    """How an error is handled."""

    retry: bool  # call again, after a wait, up to the provider's number of attempts
    then: Then
    rest: Rest
    billed: bool  # the provider may bill it: the reservation is kept if nothing tells what was used


DECISIONS: Mapping[ErrorType, Decision] = {
    ErrorType.RATE_LIMIT: Decision(True, Then.NEXT_TIER, Rest.NO, billed=False),
    ErrorType.QUOTA_EXHAUSTED: Decision(False, Then.NEXT_TIER, Rest.AT_ONCE, billed=False),
    ErrorType.TIMEOUT: Decision(True, Then.NEXT_TIER, Rest.COUNT, billed=True),
    ErrorType.CONNECTION: Decision(True, Then.NEXT_TIER, Rest.COUNT, billed=False),
    ErrorType.CONNECTION_LOST: Decision(True, Then.NEXT_TIER, Rest.COUNT, billed=True),
    ErrorType.BAD_RESPONSE: Decision(True, Then.NEXT_TIER, Rest.COUNT, billed=True),
    ErrorType.SERVER_ERROR: Decision(True, Then.NEXT_TIER, Rest.COUNT, billed=False),
    ErrorType.CONTEXT_WINDOW: Decision(False, Then.NEXT_TIER_OR_FAIL, Rest.NO, billed=False),
    ErrorType.CONTENT_REFUSED: Decision(False, Then.NEXT_TIER_OR_FAIL, Rest.NO, billed=False),
    ErrorType.BAD_REQUEST: Decision(False, Then.NEXT_TIER_OR_FAIL, Rest.NO, billed=False),
    ErrorType.AUTH: Decision(False, Then.NEXT_TIER, Rest.AT_ONCE, billed=False),
    ErrorType.NOT_FOUND: Decision(False, Then.NEXT_TIER, Rest.NO, billed=False),
}


class CallFailed(Exception):
    """A call without an answer. The message is ours: it contains no key, no prompt and no document text.

    said: the provider's own words about it. `Wire.call` makes them fit to be stored and shown.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        answer: Answer | None = None,
        said: str = "",
    ) -> None:
        """answer: what the provider reports as used all the same; None: nothing."""
        super().__init__(message)
        self.error_type = error_type
        self.retry_after_seconds = retry_after_seconds
        self.answer = answer
        self.said = said

    @property
    def reason(self) -> str:
        """Our message with the provider's words."""
        return f"{self} {self.said}".rstrip()
