"""Plans a run by document, with its expected cost. Changes nothing and calls no model."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.document_state import DocumentState, Why
from aegis_dagster.domain.fingerprints import wanted_fingerprints
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import ListingDiff, PassedOver
from aegis_dagster.domain.stages import ARTIFACT_STAGES, Document, Stage, Status
from aegis_dagster.errors import OperatorError
from aegis_dagster.planning.forecast import Forecast, forecast
from aegis_dagster.stages.sync import compare

IDS_SHOWN = 50  # per stage, and per listing


@dataclass(frozen=True, slots=True)
class Sight:
    """The documents now on disk, and their differences from the catalog."""

    documents: tuple[Document, ...]
    diff: ListingDiff | None = None  # None: not scanned
    passed_over: tuple[PassedOver, ...] = ()
    held: bool = False  # the deletions would wait for confirmation

    @staticmethod
    def of(parts: Sequence["Sight"]) -> "Sight":
        """Merge several parts of the root; overlaps count once."""
        diffs = [part.diff for part in parts if part.diff is not None]
        diff = ListingDiff(
            new=tuple(dict.fromkeys(one for each in diffs for one in each.new)),
            changed=tuple(dict.fromkeys(one for each in diffs for one in each.changed)),
            touched=tuple(dict.fromkeys(one for each in diffs for one in each.touched)),
            moved=tuple(dict.fromkeys(one for each in diffs for one in each.moved)),
            deleted=tuple(dict.fromkeys(one for each in diffs for one in each.deleted)),
            unchanged=sum(each.unchanged for each in diffs),
        )
        documents = {document.id: document for part in parts for document in part.documents}
        passed_over = tuple(dict.fromkeys(one for part in parts for one in part.passed_over))
        return Sight(tuple(documents.values()), diff, passed_over, any(part.held for part in parts))

    def to_json(self) -> dict[str, Any]:
        """Counts and at most `IDS_SHOWN` ids of each; {} without a scan."""
        if self.diff is None:
            return {}
        moved = [f"{source} -> {target}" for source, target in self.diff.moved]
        groups = {"new": self.diff.new, "changed": self.diff.changed, "moved": moved, "deleted": self.diff.deleted}
        counted = {name: {"documents": len(ids), "ids": list(ids[:IDS_SHOWN])} for name, ids in groups.items()}
        return {**counted, "passed_over": len(self.passed_over), "deletions_held": self.held}


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a run would do at one stage."""

    stage: Stage
    documents: int
    work: tuple[tuple[DocumentId, Why], ...] = ()
    failed_for_good: int = 0  # until somebody changes the file, retries or forces

    @property
    def up_to_date(self) -> int:
        """How many documents need no work."""
        return self.documents - len(self.work) - self.failed_for_good

    def to_json(self) -> dict[str, Any]:
        """Counts by reason, and at most `IDS_SHOWN` documents with their reasons."""
        return {
            "stage": str(self.stage),
            "documents": self.documents,
            "to_do": len(self.work),
            "up_to_date": self.up_to_date,
            "failed_for_good": self.failed_for_good,
            "reasons": dict(Counter(str(why) for _, why in self.work)),
            "work": [{"document": name, "why": str(why)} for name, why in self.work[:IDS_SHOWN]],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The complete plan of a run."""

    stages: tuple[StagePlan, ...]
    forecast: Forecast | None
    no_forecast: str = ""  # why there is no forecast
    sight: Sight = field(default_factory=lambda: Sight(()))

    @property
    def documents_to_do(self) -> int:
        """How many documents have work at some stage."""
        return len({name for stage in self.stages for name, _ in stage.work})

    def by_document(self) -> list[tuple[DocumentId, Why, list[Stage]]]:
        """Every document with work, by id, with each reason and the stages it applies to."""
        found: dict[tuple[DocumentId, Why], list[Stage]] = {}
        for stage in self.stages:
            for name, why in stage.work:
                found.setdefault((name, why), []).append(stage.stage)
        return sorted(((name, why, stages) for (name, why), stages in found.items()), key=lambda line: line[0])

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `ingest --dry-run`."""
        return {
            "documents": self.stages[0].documents,
            "documents_to_do": self.documents_to_do,
            "listing": self.sight.to_json(),
            "stages": [stage.to_json() for stage in self.stages],
            "forecast": self.forecast.to_json() if self.forecast else None,
            "no_forecast": self.no_forecast,
        }


def look(project: Project, scope: str = "", *, confirmed: bool = False) -> Sight:
    """Scan below a scope without changing the catalog. confirmed: deletions would not be held.

    Raises RootUnreadable, ConfigurationError.
    """
    known = project.documents.known(scope)
    seen_now = compare(project.source.scan(known, scope), known, project.guard(confirmed=confirmed), scope)
    diff, held = seen_now.diff, bool(seen_now.deletions_held)
    gone = {*(() if held else diff.deleted), *(source for source, _ in diff.moved)}
    found = {document.id: document for document in project.documents.within(scope) if document.id not in gone}
    for name, seen in seen_now.listing.files.items():
        found[name] = seen.document(name)
    return Sight(tuple(found[name] for name in sorted(found)), diff, seen_now.passed_over, held)


def plan(project: Project, documents: Sequence[Document], sight: Sight, forced: Collection[Stage] = ()) -> Plan:
    """Plan a run over these documents; they need not be in the catalog. forced: stages that are done again."""
    work: dict[Stage, list[tuple[DocumentId, Why]]] = {stage: [] for stage in Stage}
    failed: Counter[Stage] = Counter()
    for state in _states(project, documents, sight):
        found = _planned(project, state, forced)
        for stage, why in found.items():
            work[stage].append((state.document.id, why))
        recorded = state.recorded.items()
        failed.update(stage for stage, one in recorded if stage not in found and one.status is Status.FAILED)
    stages = tuple(StagePlan(stage, len(documents), tuple(work[stage]), failed[stage]) for stage in Stage)
    try:
        return Plan(stages, forecast(project, documents, forced), sight=sight)
    except OperatorError as error:  # a run would fail with it too, at its first call
        return Plan(stages, None, str(error), sight)


def _states(project: Project, documents: Sequence[Document], sight: Sight) -> list[DocumentState]:
    """The documents' states at the start of a run: a moved document keeps its finished artifacts."""
    moved = {target: source for source, target in sight.diff.moved} if sight.diff else {}
    sources = project.documents.get(list(moved.values()))
    before = {state.document.id: state.recorded for state in project.states.of(sources)}
    found = []
    for state in project.states.of(documents):
        source = before.get(moved.get(state.document.id, DocumentId("")), {})
        brought = {stage: source[stage] for stage in ARTIFACT_STAGES if stage in source}
        finished = {stage: one for stage, one in brought.items() if one.status in (Status.DONE, Status.SKIPPED)}
        recorded = {**state.recorded, **finished}
        wanted = wanted_fingerprints(state.document, project.identities, recorded)
        found.append(replace(state, recorded=recorded, wanted=wanted))
    return found


def _planned(project: Project, state: DocumentState, forced: Collection[Stage]) -> dict[Stage, Why]:
    rules = project.identities.rules_for(state.document.collection)
    off = {stage for stage, on in ((Stage.ENRICH, rules.enrich), (Stage.GRAPH, rules.graph)) if not on}
    return state.planned(project.artifacts.exists, forced=forced, off=off)
