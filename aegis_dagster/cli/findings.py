"""What `aegis doctor` finds: one finding a component.

Belongs here: the value, and that an error raised on purpose is a finding with its remedy.
Does not belong here: looking at components (`doctor.py`, `doctor_models.py`).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from aegis_dagster.errors import AegisError


@dataclass(frozen=True, slots=True)
class Finding:
    """One component."""

    component: str
    ok: bool
    state: str  # what is configured and whether it answers
    move_up: str  # what the default stands in for, and how to get more; "" where there is nothing above

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def tried(component: str, look: Callable[[], str], move_up: str = "") -> Finding:
    """What a look says, or the error that it raises."""
    try:
        return Finding(component, True, look(), move_up)
    except AegisError as error:
        return Finding(component, False, error.message, error.remedy)
