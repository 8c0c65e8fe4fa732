"""Whose turn it is at one tick of a schedule: which collections get a run.

Belongs here: the pure rule. Times are milliseconds since 1970-01-01 UTC.
Does not belong here: which documents have work (`stores/work_left.py`), asking Dagster (`defs/turns.py`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import CollectionName

_NAMED = 10  # collections that a line names


@dataclass(frozen=True, slots=True)
class Turn:
    """The collections with work."""

    requested: tuple[CollectionName, ...]
    at_work: tuple[CollectionName, ...]  # a run for them is queued or in progress
    later: tuple[CollectionName, ...]  # beyond the runs of one tick

    def told(self) -> str:
        """Who gets no run, and why; "" when everybody gets one."""
        parts = []
        for what, names in (("A run is at work on", self.at_work), ("Requested by the next tick", self.later)):
            if names:
                parts.append(f"{what}: {', '.join(names[:_NAMED])}{_more(names)}.")
        return " ".join(parts)


def turn_of(
    documents: Mapping[CollectionName, int],
    *,
    at_work: Collection[CollectionName],
    last_ms: Mapping[CollectionName, int],
    most: int,
) -> Turn:
    """Who gets one of the runs of a tick, by how many documents of each collection have work.

    Who got one longest ago comes first, so that nobody waits for ever behind collections with work that never ends;
    among equals, the most documents. last_ms: when the schedule requested the last run of a collection; may lack some.
    """
    free = sorted(
        (name for name in documents if name not in at_work),
        key=lambda name: (last_ms.get(name, 0), -documents[name], name),
    )
    busy = tuple(sorted(name for name in documents if name in at_work))
    return Turn(tuple(free[:most]), busy, tuple(free[most:]))


def _more(names: Collection[CollectionName]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
