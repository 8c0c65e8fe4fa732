"""The limits of one document: passages, model calls, and money. Judged before anything is paid for it.

What counts is the forecast of the document's work that is left, and what the ledger holds of it since its bytes last
changed, in this month: so retries cannot add up without an end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aegis_dagster.domain.money import shown_usd
from aegis_dagster.errors import OverLimit

CHUNKS, CALLS, USD = "limits.max_chunks", "limits.max_calls", "limits.max_usd"  # the names of the settings


@dataclass(frozen=True, slots=True)
class Spent:
    """What the ledger holds of one document; a call that has not ended counts with its reservation."""

    calls: int = 0
    cost: int = 0  # nano-USD


NOTHING = Spent()


@dataclass(frozen=True, slots=True)
class Demand:
    """What one document still needs."""

    chunks: int = 0  # 0: it is chunked already
    calls: int = 0
    cost: int = 0  # nano-USD
    estimated: bool = False  # whether its number of chunks is an estimate


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """The most that one document may take; None: no limit."""

    chunks: int | None = None
    calls: int | None = None
    cost: int | None = None  # nano-USD

    def refusal(self, demand: Demand, spent: Spent = NOTHING) -> OverLimit | None:
        """Why the document's work is not begun; None: it fits. Without a further call, calls and cost do not count."""
        needs = {CHUNKS: demand.chunks}
        if demand.calls:
            needs[CALLS] = spent.calls + demand.calls
        if demand.cost:
            needs[USD] = spent.cost + demand.cost
        over = [name for name, needed in needs.items() if not self._allows(name, needed)]
        if not over:
            return None
        about = "about " if demand.estimated else ""
        before = _before(f"{shown_usd(spent.cost)} USD", spent.cost)
        wanted = {
            CHUNKS: f"{about}{demand.chunks:,} chunks",
            CALLS: f"{about}{demand.calls:,} model calls{_before(f'{spent.calls:,}', spent.calls)}",
            USD: f"about {shown_usd(demand.cost)} USD of model calls{before}",
        }
        told = " and ".join(f"{wanted[name]}, where {name} allows {self._shown(name)}" for name in over)
        enough = " and ".join(f"{name} to {_enough(name, needs[name])}" for name in over)
        return OverLimit(
            f"The document needs {told}; that work is not begun.",
            remedy=f"raise {enough} or more in aegis.yaml, then run `aegis ingest` again; or split the file.",
            needs={name: needs[name] for name in over},
        )

    def allows(self, facts: Mapping[str, Any]) -> bool:
        """Whether a document that was refused, with these facts, fits now."""
        needs: Mapping[str, int] = facts.get(OverLimit.FACT) or {}
        return bool(needs) and all(self._allows(name, needed) for name, needed in needs.items())

    def _allows(self, name: str, needed: int) -> bool:
        most = self._most(name)
        return most is None or needed <= most

    def _most(self, name: str) -> int | None:
        return {CHUNKS: self.chunks, CALLS: self.calls, USD: self.cost}.get(name)

    def _shown(self, name: str) -> str:
        most = self._most(name) or 0
        return f"{shown_usd(most)} USD" if name == USD else f"{most:,}"


NO_LIMITS = DocumentLimits()


def _before(shown: str, spent: int) -> str:
    return f" besides {shown} since it last changed, this month" if spent else ""


def _enough(name: str, needed: int) -> str:
    """The value to write into the settings: for USD whole cents, rounded up."""
    cents = -(-needed // 10_000_000)
    return f"{cents // 100}.{cents % 100:02}" if name == USD else str(needed)
