"""What goes wrong with a call, and what the gateway does about it: one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class ErrorType(StrEnum):
    """Written on ledger rows and counted by metrics. Stable."""

    RATE_LIMIT = "rate_limit"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TIMEOUT = "timeout"
    CONNECTION = "connection"  # nothing was sent: refused, no such host
    CONNECTION_LOST = "connection_lost"  # broke off after the request was sent
    BAD_RESPONSE = "bad_response"  # HTML, broken JSON, no choices
    SERVER_ERROR = "server_error"
    CONTEXT_WINDOW = "context_window"
    CONTENT_REFUSED = "content_refused"
    BAD_REQUEST = "bad_request"
    AUTH = "auth"
    NOT_FOUND = "not_found"


class Then(StrEnum):
    """When calling again did not help or makes no sense."""

    NEXT_TIER = "next_tier"  # if none is left, the document is deferred
    NEXT_TIER_OR_FAIL = "next_tier_or_fail"  # the content is at fault: if no other model takes it, the document fails


class Rest(StrEnum):
    """What the failure means for the provider's health."""

    NO = "no"  # it answered as it should
    COUNT = "count"  # several in a row and the provider rests
    AT_ONCE = "at_once"  # it cannot work before somebody mends it


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done about an error."""

    retry: bool  # call again, after a wait, up to the provider's number of attempts
    then: Then
    rest: Rest
    billed: bool  # the provider may bill it: the reservation is kept


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
    """A call that brought no answer. The message holds no key, no prompt and no text of a document."""

    def __init__(self, error_type: ErrorType, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.retry_after_seconds = retry_after_seconds
