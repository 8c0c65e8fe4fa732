"""The error tree of the project: what can go wrong, whether waiting helps, and what to do.

AegisError
├── DocumentError        one document cannot be processed; the others go on
│   └── OverLimit            it needs more than the settings allow one document
├── Deferred             cannot be done now, is nobody's fault, and is tried again by every run
│   ├── BudgetExhausted      no tier that may answer has a budget left
│   └── ModelsUnavailable    every provider that may answer is down, resting or refuses the key
├── ServiceError         a service the stage needs is broken (store down, disk full); the step is retried
│   ├── StoreBusy        another process holds the store's lock
│   └── NotDelivered     a channel did not accept a page; it is tried again
└── OperatorError        somebody must decide or fix something; retrying changes nothing
    ├── ConfigurationError   a setting is missing or wrong
    ├── RootUnreadable       the watched root cannot be read (never treated as an empty folder)
    ├── OutsideRoot          a path is not under the watched root
    └── UnknownDocument      no such document, entity or collection
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FailureCode(StrEnum):
    """Why one document failed at one stage. Stable: shown by `aegis status`, counted by metrics."""

    EMPTY_FILE = "empty_file"
    TRUNCATED_FILE = "truncated_file"
    CORRUPT_FILE = "corrupt_file"
    ENCRYPTED_FILE = "encrypted_file"
    WRONG_EXTENSION = "wrong_extension"
    UNSUPPORTED_FORMAT = "unsupported_format"
    ZIP_BOMB = "zip_bomb"
    NO_TEXT = "no_text"
    TOO_MANY_PAGES = "too_many_pages"
    TOO_LARGE = "too_large"
    OVER_LIMIT = "over_limit"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    WORKER_CRASHED = "worker_crashed"
    UNREADABLE_FILE = "unreadable_file"
    FILE_CHANGED = "file_changed"
    CHUNKING_FAILED = "chunking_failed"
    ENRICHMENT_FAILED = "enrichment_failed"
    EXTRACTION_FAILED = "extraction_failed"
    ARTIFACT_DAMAGED = "artifact_damaged"
    CONTENT_REFUSED = "content_refused"
    CONTEXT_TOO_LONG = "context_too_long"
    BAD_ANSWER = "bad_answer"
    CUT = "cut"  # a model's answer was cut twice
    INTERNAL_ERROR = "internal_error"


class AegisError(Exception):
    """Base of all errors raised on purpose. The text ends with the remedy."""

    retryable: bool = False

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(f"{message} Remedy: {remedy}")
        self.message = message
        self.remedy = remedy


class DocumentError(AegisError):
    """One document cannot be processed. `retryable` says whether the same bytes may succeed later."""

    def __init__(self, code: FailureCode, message: str, *, remedy: str, retryable: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.retryable = retryable


class OverLimit(DocumentError):
    """One document needs more than the settings allow. When they allow enough, every run tries it again.

    needs: what it needs, by setting; amounts of money in nano-USD.
    """

    FACT = "needs"  # key in the facts of a document that was refused

    def __init__(self, message: str, *, remedy: str, needs: Mapping[str, int]) -> None:
        super().__init__(FailureCode.OVER_LIMIT, message, remedy=remedy)
        self.needs = dict(needs)


class Deferred(AegisError):
    """Cannot be done now. Every later run tries it again, without a limit.

    reason: a word for counting. until: the earliest time at which it can be done, ISO 8601 UTC, or "" if unknown.
    """

    retryable = True
    reason = "deferred"

    def __init__(self, message: str, *, remedy: str, until: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.until = until


@dataclass(frozen=True, slots=True)
class Shortage:
    """The account whose limit turned a call down. Amounts are nano-USD."""

    kind: str  # `AccountKind`
    account: str  # a provider, a collection or a run
    month: str  # "2026-11", "" of a run
    wanted: int  # the most that the call can cost
    limit: int


class BudgetExhausted(Deferred):
    """No tier that may answer has a budget left. shortage: the first account that turned it down."""

    reason = "budget"

    def __init__(self, message: str, *, remedy: str, until: str = "", shortage: Shortage | None = None) -> None:
        super().__init__(message, remedy=remedy, until=until)
        self.shortage = shortage


class ModelsUnavailable(Deferred):
    """Every provider that may answer is down, resting, or refuses the key.

    perhaps_content: no provider is known to be down, and each call broke off or timed out, so the content may be the
    cause. Such a document must not wait for ever: `as_failure` counts the attempt.
    """

    reason = "providers"

    def __init__(self, message: str, *, remedy: str, until: str = "", perhaps_content: bool = False) -> None:
        super().__init__(message, remedy=remedy, until=until)
        self.perhaps_content = perhaps_content

    def as_failure(self) -> DocumentError:
        """The same as a failure of the content, which is tried again a few times."""
        return DocumentError(FailureCode.BAD_ANSWER, self.message, remedy=self.remedy, retryable=True)


class ServiceError(AegisError):
    """A service that a stage needs does not work. The step stops and is retried."""

    retryable = True


class StoreBusy(ServiceError):
    """Another process holds the lock of an embedded store longer than the time-out."""


class NotDelivered(ServiceError):
    """A channel did not accept a page. The text never contains the channel's address, which may be a secret."""


class Unconfirmed(NotDelivered):
    """A channel did not say in time whether it accepted a page."""


class OperatorError(AegisError):
    """Somebody must decide or fix something before this can go on."""


class ConfigurationError(OperatorError):
    """A setting is missing, wrong, or names something that does not exist."""


class RootUnreadable(OperatorError):
    """The watched root cannot be read. Nothing counts as deleted."""


class OutsideRoot(OperatorError):
    """A path is not below the watched root."""


class UnknownDocument(OperatorError):
    """There is no such document, entity or collection."""
