"""What the wire brings back from a provider, before anybody counts tokens or money.

Belongs here: the raw answer. Does not belong here: making calls (`wire.py`), reading usage (`usage.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful HTTP answer."""

    content: str = field(repr=False)
    finish_reason: str  # "stop", "length", "content_filter", ...
    usage: Mapping[str, Any] | None  # as the provider sent it; None: the body had none
    vectors: tuple[tuple[float, ...], ...] = field(default=(), repr=False)
