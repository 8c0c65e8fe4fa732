"""One answer of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """What a 200 says. Of an answer that cannot be used, the usage alone counts: the model ran and is billed."""

    content: str = field(repr=False)
    finish_reason: str  # "stop", "length", "content_filter", ...
    usage: Mapping[str, Any] | None  # as the provider sent it; None: not in the body
    vectors: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
    reasoning: str = field(default="", repr=False)  # thoughts beside the content
    unread: bool = False  # the content cannot be read, so that its tokens cannot be counted
