"""The asset graph reads by itself: everything says what it is, who answers for it and how to repair it."""

import io
from dataclasses import fields

import dagster as dg
import pytest
from PIL import Image

from aegis_dagster.composition.project import Project
from aegis_dagster.definitions import build_definitions
from aegis_dagster.defs.ingestion.config import IngestOptions, for_collection
from aegis_dagster.domain.chunks import Chunk
from aegis_dagster.domain.stages import Stage
from aegis_dagster_tests.support.dagster_runs import STEPS, metadata, pictures_in, run
from aegis_dagster_tests.support.projects import write_documents

repository = build_definitions().get_repository_def()
graph = repository.asset_graph


def columns(asset: str) -> list[str]:
    schema = graph.get(dg.AssetKey(asset)).metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    return [column.name for column in schema.schema.columns]


@pytest.mark.parametrize("key", sorted(graph.get_all_asset_keys()), ids=str)
def test_an_asset_says_what_it_holds_who_owns_it_and_what_it_is_made_with(key: dg.AssetKey) -> None:
    node = graph.get(key)
    assert node.group_name and node.owners and node.kinds and node.code_version
    assert len(node.description or "") > 80
    if key.to_user_string() in STEPS:
        assert "Repair:" in (node.description or "") or "publishes it again" in (node.description or "")
        assert node.tags["aegis/stage"] in set(Stage) and node.tags["aegis/holds"] in ("truth", "view")


def test_every_check_job_schedule_and_sensor_has_a_description() -> None:
    for key in graph.asset_check_keys:
        assert len(graph.get_check_spec(key).description or "") > 20, key
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert {job.name for job in jobs} >= {"ingest", "ingest_parallel", "plan_ingestion", "scan_root"}
    told = {one.name: one.description for one in jobs}
    told |= {one.name: one.description for one in repository.schedule_defs}
    told |= {one.name: one.description for one in repository.sensor_defs}
    assert {name for name, description in told.items() if len(description or "") <= 20} == set()


def test_the_launchpad_shows_every_choice_with_its_default_and_a_description() -> None:
    shown = for_collection.get_run_config_for_partition_key("c")
    assert shown == {
        "resources": {
            "ingest_options": {
                "config": {
                    "documents": [],
                    "force_from": "none",
                    "scan_root": True,
                    "confirm_deletions": False,
                    "embed_anew": True,
                }
            }
        }
    }
    assert all(len(field.description or "") > 30 for field in IngestOptions.model_fields.values())
    for job in ("ingest", "ingest_parallel", "plan_ingestion"):
        definition = build_definitions().resolve_job_def(job)
        assert dg.validate_run_config(definition, shown)
        for wrong in ({"force_from": "everything"}, {"force": True}, {"documents": "*.pdf"}):
            with pytest.raises(dg.DagsterInvalidConfigError):
                dg.validate_run_config(definition, {"resources": {"ingest_options": {"config": wrong}}})


def test_a_run_shows_what_was_made_where_it_is_and_numbers_that_plot(
    project: Project, instance: dg.DagsterInstance
) -> None:
    write_documents(project.root, ["c/a.txt"])
    (project.root / "c" / "b.md").write_text(
        "# Tides\n\nSee ![us](http://example.com/spy.png).\n\n| station | level |\n|---|---|\n| Eastmere | 12 |\n"
    )
    result = run(instance)
    _previews_are_right(result, instance)
    assert columns("chunks") == [field.name for field in fields(Chunk)]
    parsed, *_ = project.reports.facts(Stage.PARSE).values()
    assert set(columns("parsed_documents")) == set(parsed)
    point = next(iter(project.vectors.scan()))
    assert set(columns("embeddings")) == {"id", "dense", "sparse", *point.payload}
    for step in STEPS:  # numbers that the UI plots, also where nothing was spent
        shown = metadata(result, step)
        assert {"documents", "documents_failed", "seconds", "cost_usd", "calls", "dagster/uri"} <= shown.keys()
        assert shown["cost_usd"] == 0.0
    assert metadata(result, "chunks")["chunks"] == metadata(result, "embeddings")["chunks"] == project.vectors.count()
    assert metadata(result, "embeddings")["device"] == "cpu"  # tests have no card
    assert str(metadata(result, "knowledge_graph")["dagster/uri"]).endswith("aegis.db")


def _previews_are_right(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> None:
    page = str(metadata(run(instance, documents=["b.md"], only=["parsed_documents"]), "parsed_documents")["preview"])
    assert "# Tides" in page and "| Eastmere | 12 |" in page and "![us]" not in page
    chunk = str(metadata(result, "chunks")["preview"])
    assert "**Report c/a.txt › Section 0** · " in chunk and " tokens" in chunk and "Priya Raman" in chunk
    assert "| headings | pages | tokens | passage |" in str(metadata(result, "embeddings")["preview"])
    graph = metadata(result, "knowledge_graph")["preview"]
    assert "| Priya Raman |" in str(graph)
    (drawn,) = pictures_in(graph)
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.format == "PNG" and picture.width > 600
        assert len(picture.convert("RGB").getcolors(100_000) or ()) > 3
    assert len(drawn) < 60_000
