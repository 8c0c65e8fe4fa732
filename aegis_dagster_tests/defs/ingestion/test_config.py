"""What an operator chooses in the launchpad: documents by pattern, and the stage from which on all is done again."""

import logging

import dagster as dg
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.dagster_runs import logged, metadata, run, tags_of, why_failed
from aegis_dagster_tests.support.projects import recorded, write_documents


def reached(project: Project, stage: Stage) -> set[str]:
    states = recorded(project)
    return {name for name, found in states.items() if stage in found}


def test_patterns_pick_documents(project: Project, instance: dg.DagsterInstance) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt", "c/sub/B.TXT", "c/sub/[1].txt"])
    assert run(instance, documents=["b.*", "c/sub/[1].txt"]).success
    assert reached(project, Stage.GRAPH) == {"c/b.txt", "c/sub/B.TXT", "c/sub/[1].txt"}


def test_a_pattern_without_a_match_fails_a_run_by_hand_before_any_work(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/lease.txt", "d/rent.txt"])
    result = run(instance, documents=["c/lease.txt", "c/laese.txt"])
    assert not result.success
    told = why_failed(result)
    assert "1 of 1 documents of `c` match; none matches `c/laese.txt`. Did you mean `c/lease.txt`?" in told
    assert "Remedy: correct `documents` in the run config" in told
    assert "stopped at parse: 1 of 1 documents" in tags_of(instance, result)["aegis/outcome"]
    assert reached(project, Stage.PARSE) == set()
    assert "is in the collection `d`: choose that partition" in why_failed(run(instance, documents=["rent.txt"]))


@pytest.mark.parametrize("tag", ["dagster/backfill", "dagster/sensor_name", "dagster/schedule_name"])
def test_in_a_run_that_nobody_started_by_hand_it_is_only_said(
    project: Project, instance: dg.DagsterInstance, tag: str
) -> None:
    write_documents(project.root, ["c/a.txt"])
    result = run(instance, documents=["gone.txt"], tags={tag: "x"}, only=["parsed_documents"])
    assert result.success
    shown = metadata(result, "parsed_documents")
    assert shown["documents"] == 0
    assert "0 of 1 documents of `c` match; none matches `gone.txt`." in str(shown["not_found"])
    assert any("gone.txt" in line for line in logged(instance, result, logging.WARNING))


def test_force_from_a_stage_on_does_that_stage_and_those_below_again_and_pays_nothing_twice(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    assert run(instance).success
    before = dict(digests(project))

    def work(result: dg.ExecuteInProcessResult) -> dict[str, object]:
        return {
            "parsed": metadata(result, "parsed_documents")["work/parsed"],
            "chunked": metadata(result, "chunks")["work/chunked"],
            "embedded": metadata(result, "embeddings")["work/chunks_embedded"],
            "published": metadata(result, "embeddings")["documents_done"],
            "extracted": metadata(result, "knowledge_graph")["work/chunks_extracted"],
            "written": metadata(result, "knowledge_graph")["documents_done"],
        }

    nothing = dict.fromkeys(("parsed", "chunked", "embedded", "published", "extracted", "written"), 0)
    both = {"published": 2, "written": 2}
    assert work(run(instance, force_from="parse")) == nothing | both | {"parsed": 2, "chunked": 2}
    assert work(run(instance, force_from="chunk")) == nothing | both | {"chunked": 2}
    assert work(run(instance, force_from="embed")) == nothing | {"published": 2}
    one = run(instance, force_from="graph", documents=["a.txt"])
    assert work(one) == nothing | {"written": 1}
    assert metadata(one, "knowledge_graph")["documents"] == 1
    assert dict(digests(project)) == before
