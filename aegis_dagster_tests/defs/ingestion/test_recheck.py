"""A document that failed is deleted: its check passes again and its alert ends, though its collection gets no run."""

import dagster as dg
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.alerting.events import batches_after
from aegis_dagster.stores.alerts.alerts import Alerts
from aegis_dagster_tests.support.dagster_daemon import Daemon
from aegis_dagster_tests.support.projects import write_documents


def firing(project: Project, instance: dg.DagsterInstance) -> list[tuple[str, str]]:
    """Check and partition of every alert, as the log of Dagster has it."""
    alerts = Alerts(project.engine, project.clock)
    for batch in batches_after(instance, 0):
        alerts.apply(batch.events)
    alerts.settle()
    return sorted((alert.key.check, alert.key.partition) for alert in alerts.firing())


@pytest.mark.parametrize("by", ["clean_up", "scan_root"])
def test_the_check_and_the_alert_of_a_deleted_document_end(project: Project, daemon: Daemon, by: str) -> None:
    write_documents(project.root, ["c/a.txt"], paragraphs=1)
    (project.root / "d").mkdir()
    for name in ("c/bad.pdf", "c/worse.pdf", "d/bad.pdf"):
        (project.root / name).write_bytes(b"%PDF-1.4 and then nothing")
    assert daemon.tick() == ["c", "d"]
    assert firing(project, daemon.instance) == [("documents_parsed", "c"), ("documents_parsed", "d")]

    def remove(*names: str) -> None:
        for name in names:
            (project.root / name).unlink()
        if by == "clean_up":
            assert daemon.tick() == ["clean_up"]
        else:
            assert daemon.run(dg.RunRequest(run_key="-".join(names), job_name=by)).success

    remove("d/bad.pdf", "c/bad.pdf")  # d is empty now
    assert firing(project, daemon.instance) == [("documents_parsed", "c")]
    assert project.reports.failures()[0].document_id == "c/worse.pdf"
    remove("c/worse.pdf")
    assert firing(project, daemon.instance) == []
    evaluated = daemon.evaluations("documents_parsed")
    (project.root / "c" / "more.txt").write_text("More of it.\n", "utf-8")
    (project.root / "c" / "a.txt").unlink()
    daemon.tick()
    assert daemon.evaluations("documents_parsed") == evaluated + 1  # by the run; what passes is not looked at again
