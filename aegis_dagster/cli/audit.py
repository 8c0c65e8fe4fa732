"""`aegis audit`: whether database, artifacts and vectors are as they were written, and what to do when they are not."""

from dataclasses import dataclass, field
from typing import Any

from aegis_dagster.cli.output import EXIT_FAILED_DOCUMENTS, EXIT_SERVICE, out
from aegis_dagster.cli.terminal import escape
from aegis_dagster.composition.damage import (
    ArtifactsReport,
    PointsReport,
    audit_artifacts,
    audit_points,
    reset_artifact,
    reset_points,
)
from aegis_dagster.composition.project import Project
from aegis_dagster.errors import ServiceError
from aegis_dagster.ports import Progress
from aegis_dagster.stores.backup import database_problems
from aegis_dagster.stores.database import place_of

_SHOWN = 50  # documents, of each kind


@dataclass(slots=True)
class Audit:
    """What was found, part by part. A part that cannot be read has an error instead of a report."""

    database: list[str] = field(default_factory=list)
    database_remedy: str = ""
    artifacts: ArtifactsReport = field(default_factory=ArtifactsReport)
    points: PointsReport = field(default_factory=PointsReport)
    errors: dict[str, ServiceError] = field(default_factory=dict)
    repaired: bool = False

    @property
    def database_is_sound(self) -> bool:
        """Whether nothing is wrong with the database, in which a repair would write."""
        return not self.database and "database" not in self.errors

    @property
    def to_make_again(self) -> bool:
        """Whether the next run has to make something again."""
        return bool(self.artifacts.damaged or self.points.wrong or self.points.unknown)

    @property
    def exit_code(self) -> int:
        """0: all is well or reset; 1: artifacts or vectors are damaged; 3: a store is broken."""
        if self.database or self.errors:
            return EXIT_SERVICE
        return EXIT_FAILED_DOCUMENTS if self.to_make_again and not self.repaired else 0

    @property
    def next_step(self) -> str:
        """What to run."""
        if self.database:
            return self.database_remedy
        if self.errors:
            return next(iter(self.errors.values())).remedy
        if not self.to_make_again:
            return ""
        again = "run `aegis ingest`: it makes again what was damaged; what models said is cached and not paid again."
        return again if self.repaired else f"run `aegis audit --repair`, then {again}"

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `audit`."""
        points = self.points
        return {
            "ok": self.exit_code == 0 and not self.to_make_again,
            "database": {"ok": self.database_is_sound, "problems": self.database},
            "artifacts": {
                "ok": not self.artifacts.damaged and "artifacts" not in self.errors,
                "checked": self.artifacts.checked,
                "without_checksums": len(self.artifacts.without_checksums),
                "damaged": [
                    {"documents": list(one.documents), "stage": str(one.stage), "what": one.what}
                    for one in self.artifacts.damaged
                ],
            },
            "vectors": {
                "ok": not points.wrong and not points.unknown and "vectors" not in self.errors,
                "collections": [
                    {"name": name, "points": points.points[name], "expected": points.expected[name]}
                    for name in sorted(points.expected)
                ],
                "wrong_documents": list(points.wrong),
                "unknown_documents": list(points.unknown),
            },
            "errors": [
                {"part": part, "message": error.message, "remedy": error.remedy} for part, error in self.errors.items()
            ],
            "repaired": self.repaired,
            "next": self.next_step,
        }


def audit(project: Project, progress: Progress, *, repair: bool) -> Audit:
    """Look at every part; repair: reset what is damaged and can be made again, if the database is sound.

    Raises ServiceError when there is no database to look at.
    """
    found = Audit()
    engine = project.engine
    progress.start("database", 1)
    try:
        found.database = database_problems(engine)
    except ServiceError as error:
        found.errors["database"] = error
    found.database_remedy = place_of(engine.url).damaged
    progress.advance("database")
    progress.finish("database")
    try:
        found.artifacts = audit_artifacts(project, progress)
    except ServiceError as error:
        found.errors["artifacts"] = error
    try:
        project.vectors.check()
        found.points = audit_points(project, progress)
    except ServiceError as error:
        found.errors["vectors"] = error
    if repair and found.database_is_sound:
        _repair(project, found)
    return found


def _repair(project: Project, found: Audit) -> None:
    for artifact in found.artifacts.damaged:
        reset_artifact(project, artifact)
    for stage, fingerprint in found.artifacts.without_checksums:
        project.artifacts.write_checksums(stage, fingerprint)
    reset_points(project, found.points)
    project.artifacts.sweep_unused()
    found.repaired = True


def print_audit(found: Audit, *, repair: bool) -> None:
    """Print one line per part, then what is wrong and what to run. repair: whether that was asked for."""
    values = found.to_json()
    vectors, artifacts = values["vectors"], values["artifacts"]
    _line(
        "database",
        values["database"]["ok"],
        ", ".join(found.database) or _said(found, "database", "every page is readable"),
    )
    compared = artifacts["checked"] - artifacts["without_checksums"]
    checked = f"{compared} artifacts compared with their checksums"
    if artifacts["without_checksums"]:
        checked += f"; {artifacts['without_checksums']} of an older version have none"
        checked += ", written now" if found.repaired else " (`--repair` writes them)"
    _line("artifacts", artifacts["ok"], _said(found, "artifacts", checked))
    counted = f"{sum(item['points'] for item in vectors['collections'])} points counted"
    _line("vectors", vectors["ok"], _said(found, "vectors", counted))
    for one in found.artifacts.damaged[:_SHOWN]:
        out.print(f"[red]damaged[/] {escape(', '.join(one.documents))} at {one.stage}: {escape(one.what)}")
    for item in vectors["collections"]:
        if item["points"] != item["expected"]:
            out.print(f"[red]vectors[/] {escape(item['name'])}: {item['points']} points instead of {item['expected']}")
    for name in found.points.unknown[:_SHOWN]:
        out.print(f"[red]vectors[/] of a document that the catalog does not know: {escape(name)}")
    for part, error in found.errors.items():
        out.print(f"[red]{part}[/] {escape(error.message)}\n   remedy: {escape(error.remedy)}")
    if found.repaired and found.to_make_again:
        out.print("What was damaged is reset.")
    if repair and not found.repaired:
        out.print("Nothing is reset: a damaged database is not written to.")
    if found.next_step and not found.errors:
        out.print(f"[bold]next:[/] {escape(found.next_step)}")


def _said(found: Audit, part: str, state: str) -> str:
    return "it cannot be read to its end" if part in found.errors else state


def _line(part: str, fine: bool, state: str) -> None:
    out.print(f"{part:<10} {'[green]ok[/]' if fine else '[red]!![/]'}  {escape(state)}")
