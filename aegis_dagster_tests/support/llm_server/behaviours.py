"""What the scripted server can be told to do, as plain values that travel as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happens to one request."""

    ANSWER = "answer"
    RATE_LIMIT = "rate_limit"  # 429
    INSUFFICIENT_QUOTA = "insufficient_quota"  # 429 of OpenAI: no money left
    THROTTLE = "throttle"  # 429 of DashScope, which also says "exceeded your current quota"
    ARREARAGE = "arrearage"  # 400 of DashScope: the account is overdrawn
    SERVER_ERROR = "server_error"  # 500
    UNAVAILABLE = "unavailable"  # 503
    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    MODEL_NOT_FOUND = "model_not_found"  # 404
    CONTEXT_LENGTH = "context_length"  # 400
    REFUSED = "refused"  # 400: the content is refused
    FILTERED = "filtered"  # 200 with finish_reason content_filter
    BAD_REQUEST = "bad_request"  # 400
    MALFORMED_JSON = "malformed_json"  # 200, the body breaks off
    HTML = "html"  # 200 with a page
    HTML_BAD_GATEWAY = "html_bad_gateway"  # 502 with a page
    EMPTY_CHOICES = "empty_choices"  # 200 without choices, or without vectors
    RESET_BEFORE = "reset_before"  # the connection is reset before the model ran
    RESET_AFTER = "reset_after"  # ... after it ran, before a byte of the answer
    RESET_MIDWAY = "reset_midway"  # ... in the middle of the answer
    TRICKLE = "trickle"  # the answer comes byte by byte, without end
    HANG = "hang"  # no answer, ever


class Dialect(StrEnum):
    """Whose format of usage and errors is used. Ollama's native paths always use their own."""

    OPENAI = "openai"
    DASHSCOPE = "dashscope"
    OLLAMA = "ollama"


class UsageShape(StrEnum):
    """What the answer says about its tokens."""

    FULL = "full"
    ABSENT = "absent"
    NULL = "null"  # "usage": null
    EMPTY = "empty"  # "usage": {}
    TOTAL_ONLY = "total_only"
    INPUT_ONLY = "input_only"
    OUTPUT_ONLY = "output_only"
    ZEROS = "zeros"


# The model ran, so that a provider would bill it although the caller may get nothing.
RAN = frozenset(
    {
        Kind.ANSWER,
        Kind.FILTERED,
        Kind.MALFORMED_JSON,
        Kind.EMPTY_CHOICES,
        Kind.RESET_AFTER,
        Kind.RESET_MIDWAY,
        Kind.TRICKLE,
        Kind.HANG,
    }
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What is done with one request."""

    kind: Kind = Kind.ANSWER
    dialect: Dialect = Dialect.OPENAI
    content: str = "auto"  # "echo", "entities", "description"; "auto" chooses among them by the request
    text: str | None = None  # this text instead
    words: int | None = None  # instead, an answer of so many words
    ignore_max_tokens: bool = False  # answers in full length whatever the caller's limit
    finish_reason: str | None = None
    usage: UsageShape = UsageShape.FULL
    usage_fields: Mapping[str, Any] | None = None  # this as "usage", word for word
    body_fields: Mapping[str, Any] | None = None  # these in the body, word for word
    raw: str | None = None  # this as the body, word for word; latin-1
    status: int | None = None  # this instead of the status of the kind
    cached_tokens: int = 0  # of the input, at most all of it
    cache_write_tokens: int = 0  # of the input that is not cached
    reasoning_tokens: int = 0  # on top of the words of the answer
    latency_seconds: float = 0.0  # before the first byte
    retry_after: str | None = None  # header: seconds, or an HTTP date
    bills: bool | None = None  # None: where the model ran


@dataclass(frozen=True, slots=True)
class Rule:
    """How to treat which requests, and how often. The first matching rule that is not used up applies."""

    behaviour: Behaviour = Behaviour()
    mixture: tuple[tuple[Behaviour, float], ...] = ()  # instead: drawn anew for each request, by weight
    seed: int = 0  # of the mixture
    path: str | None = None  # ending of the path: "/chat/completions"
    model: str | None = None
    contains: str | None = None  # in the text of the prompt
    matches: str | None = None  # regular expression, searched in the text of the prompt
    times: int | None = None  # None: for ever

    def as_json(self) -> dict[str, Any]:
        """For the control endpoint."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Rule":
        """A rule from the result of `as_json`. Raises TypeError or ValueError for anything else."""
        fields = dict(value)
        fields["behaviour"] = behaviour_from_json(fields.get("behaviour", {}))
        fields["mixture"] = tuple(
            (behaviour_from_json(each), float(weight)) for each, weight in fields.get("mixture", ())
        )
        return Rule(**fields)


def behaviour_from_json(value: Mapping[str, Any]) -> Behaviour:
    """What `dataclasses.asdict` gave."""
    fields = dict(value)
    for name, of in (("kind", Kind), ("dialect", Dialect), ("usage", UsageShape)):
        if name in fields:
            fields[name] = of(fields[name])
    return Behaviour(**fields)
