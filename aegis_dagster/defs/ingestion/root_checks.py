"""The checks on the watched root: whether it can be read, and whether deletions wait for a confirmation."""

from collections.abc import Iterator

import dagster as dg

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.assets import parsed_documents
from aegis_dagster.defs.ingestion.recheck import passed_last
from aegis_dagster.defs.resources import ProjectResource
from aegis_dagster.domain.markdown import escaped
from aegis_dagster.errors import RootUnreadable
from aegis_dagster.stages.sync import ListingReport, compare

ROOT_READABLE, DELETIONS_HELD = "root_readable", "no_deletions_held"
SEVERITIES = {ROOT_READABLE: dg.AssetCheckSeverity.ERROR, DELETIONS_HELD: dg.AssetCheckSeverity.WARN}
_UNDECIDED = (
    "Nobody can tell now: the watched root cannot be read, or what is gone may be among its new files, moved. This "
    "repeats how it stood. Remedy: see `root_readable`; new files are read by the next look of `watched_folder`."
)

_SPECS = [
    dg.AssetCheckSpec(
        ROOT_READABLE,
        asset=parsed_documents.key,
        description="The watched root can be listed. While it cannot, nothing is taken for deleted. The sensor "
        "`watched_folder` records every change.",
    ),
    dg.AssetCheckSpec(
        DELETIONS_HELD,
        asset=parsed_documents.key,
        description="No deletions wait for a confirmation because so much is gone at once. The sensor "
        "`watched_folder` records every change.",
    ),
]


@dg.multi_asset_check(
    name="watched_root_checks",
    specs=_SPECS,
    can_subset=True,
    description="Lists the watched root and changes nothing.",
)
def watched_root_checks(
    context: dg.AssetCheckExecutionContext, project: ProjectResource
) -> Iterator[dg.AssetCheckResult]:
    """Look now, instead of waiting for the sensor."""
    with project.dagster_errors():
        opened = project.open()
        problems = _problems(opened)
    for key in context.selected_asset_check_keys:
        problem = problems[key.name]
        if problem is None:
            passed, said = _stands(context.instance, key.name) is not False, _UNDECIDED
        else:
            passed, said = not problem, escaped(problem or _good(opened, key.name))
        yield dg.AssetCheckResult(
            check_name=key.name,
            asset_key=key.asset_key,
            passed=passed,
            severity=SEVERITIES[key.name],
            description=said,
        )


def record(instance: dg.DagsterInstance, project: Project, name: str, problem: str) -> bool:
    """Record a check's state if it differs from the last recorded one. Returns whether it did.

    A failing sensor tick stores no result, so this does not use the result of the tick.
    """
    if _stands(instance, name) is (not problem):
        return False
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=parsed_documents.key,
            check_name=name,
            passed=not problem,
            severity=SEVERITIES[name],
            metadata={"root": dg.MetadataValue.text(str(project.watched_root))},
            description=escaped(problem or _good(project, name)),
        )
    )
    return True


def _stands(instance: dg.DagsterInstance, name: str) -> bool | None:
    return passed_last(instance, dg.AssetCheckKey(parsed_documents.key, name))


def _problems(project: Project) -> dict[str, str | None]:
    """What is wrong; "": nothing; None: unknown now."""
    known = project.documents.known()
    try:
        listing = project.source.scan(known, read_seconds=0)
    except RootUnreadable as error:
        return {ROOT_READABLE: str(error), DELETIONS_HELD: None}
    found: ListingReport = compare(listing, known, project.guard())
    return {ROOT_READABLE: "", DELETIONS_HELD: None if found.undecided else found.held_message}


def _good(project: Project, name: str) -> str:
    return f"{project.watched_root} can be read." if name == ROOT_READABLE else "No deletions are held."
