"""The command line as its users meet it: a folder in, answers out, JSON that programs can rely on."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.imported import imported_by
from aegis_dagster_tests.support.projects import write_documents

HEAVY = {
    "alembic",
    "dagster",
    "docling",
    "docling_core",
    "litellm",
    "psutil",
    "torch",
    "transformers",
    "onnxruntime",
    "qdrant_client",
    "qdrant_edge",
    "pandas",
    "numpy",
}
NAMES = ("harbour/ant.txt", "harbour/bee.txt", "survey/ant.txt", "loose.txt")


@pytest.fixture(scope="module")
def aegis(tmp_path_factory: pytest.TempPathFactory) -> Aegis:
    """A home whose root has four good documents and one bad one, ingested."""
    folder = tmp_path_factory.mktemp("aegis")
    root = folder / "root"
    write_documents(root, NAMES)
    (root / "survey" / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    (root / "survey" / ".hidden.txt").write_text("not a document")
    aegis = Aegis(folder / "home")
    first = aegis("ingest", root, "--json")
    assert first.code == 1, first.stderr  # a document failed
    assert {key: first.json[key] for key in ("documents", "done", "failed", "skipped", "deferred", "deleted")} == {
        "documents": 5,
        "done": 4,
        "failed": 1,
        "skipped": 0,
        "deferred": 0,
        "deleted": 0,
    }
    assert first.json["work"]["parsed"] == 4
    assert "watched root" in first.stderr and "Warning" not in first.stderr
    return aegis


def test_the_root_is_remembered_and_a_second_run_does_nothing(aegis: Aegis) -> None:
    again = aegis("ingest", "--json")
    assert set(again.json["work"].values()) == {0}
    assert again.json["documents"] == 5
    assert "passed_over" in again.json


def test_status_counts_by_collection_and_lists_failures_with_remedies(aegis: Aegis) -> None:
    values = aegis("status", "--json").json
    counts = {item["name"]: (item["documents"], item["done"], item["failed"]) for item in values["collections"]}
    assert counts == {"default": (1, 1, 0), "harbour": (2, 2, 0), "survey": (2, 1, 1)}
    (failure,) = values["failures"]
    assert (failure["document"], failure["stage"], failure["code"]) == ("survey/broken.pdf", "parse", "truncated_file")
    assert failure["message"] and failure["remedy"] and failure["attempts"] == 1
    shown = aegis("status", "--failed")
    assert "survey/broken.pdf" in shown.stdout and "truncated_file" in shown.stdout


def test_search_finds_the_passage_of_the_right_document(aegis: Aegis) -> None:
    hits = aegis("search", "What was repaired in harbour/bee.txt?", "--json").json["hits"]
    assert hits[0]["document"] == "harbour/bee.txt"
    assert {"document", "chunk", "score", "pages", "headings", "text"} <= hits[0].keys()
    assert "harbour/bee.txt" in hits[0]["text"]
    only = aegis("search", "repairs", "--collection", "survey", "--json").json["hits"]
    assert {hit["document"] for hit in only} == {"survey/ant.txt"}


def test_show_tells_what_was_understood(aegis: Aegis) -> None:
    values = aegis("show", "harbour/ant.txt", "--json").json
    assert values["status"] == "done"
    assert values["markdown"].startswith("# Report harbour/ant.txt")
    assert all({"chunk", "pages", "boxes", "headings", "text"} <= chunk.keys() for chunk in values["chunks"])
    assert values["pictures"] == []
    assert aegis("show", "bee.txt", "--json").json["document"] == "harbour/bee.txt"


def test_an_ambiguous_name_is_refused_with_the_candidates(aegis: Aegis) -> None:
    answer = aegis("show", "ant.txt", "--json")
    assert answer.code == 2
    assert "harbour/ant.txt, survey/ant.txt" in answer.json["error"]["remedy"]


def test_graph_shows_an_entity_with_neighbours_and_passages(aegis: Aegis) -> None:
    values = aegis("graph", "priya raman", "--json").json
    assert values["entity"]["name"] == "Priya Raman"
    assert values["neighbours"] and values["passages"]
    assert all("Priya Raman" in place["text"] for place in values["passages"])
    wrong = aegis("graph", "Pria Raman")
    assert wrong.code == 2 and "Priya Raman" in wrong.stderr


def test_doctor_says_what_each_default_stands_in_for(aegis: Aegis) -> None:
    findings = {item["component"]: item for item in aegis("doctor", "--json").json["findings"]}
    assert all(item["ok"] for item in findings.values())
    assert "vision model" in findings["picture descriptions"]["move_up"]
    assert "docling-tools models download" in findings["parsing"]["move_up"]


def test_a_path_outside_the_root_is_refused_with_the_command_that_takes_it(aegis: Aegis, tmp_path: Path) -> None:
    write_documents(tmp_path, ["other.txt"])
    answer = aegis("ingest", tmp_path, "--json")
    assert answer.code == 2
    assert f"aegis ingest {tmp_path}" in answer.json["error"]["remedy"]


def test_a_single_file_that_is_no_document_is_refused(aegis: Aegis) -> None:
    answer = aegis("ingest", aegis.home.parent / "root" / "survey" / ".hidden.txt", "--json")
    assert answer.code == 2
    assert "hidden and temporary names" in answer.json["error"]["remedy"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(tmp_path / "home", monkeypatch)


def test_a_command_without_a_root_says_how_to_get_one(here: InProcess) -> None:
    answer = here("ingest")
    assert answer.exit_code == 2
    assert "aegis ingest FOLDER" in answer.stderr


def test_a_wrong_setting_is_named(here: InProcess, tmp_path: Path) -> None:
    (tmp_path / "aegis.yaml").write_text("parse:\n  wokers: 3\n")
    answer = here("status")
    assert answer.exit_code == 2
    assert "parse.wokers" in answer.stderr


@pytest.mark.parametrize(
    ("text", "variable"),
    [("parse: [unclosed", {}), ("", {"AEGIS_LISTING__IGNORE": "foo"})],
    ids=["yaml", "environment"],
)
def test_settings_that_cannot_be_read_are_an_error_with_a_remedy(
    here: InProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, variable: dict[str, str]
) -> None:
    (tmp_path / "aegis.yaml").write_text(text)
    for name, value in variable.items():
        monkeypatch.setenv(name, value)
    assert "aegis.yaml" in here.refusal("status")["remedy"]


def test_a_damaged_database_is_an_error_with_a_remedy(here: InProcess, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "aegis.db").write_bytes(b"no database" * 1000)
    answer = here("status", "--json")
    assert answer.exit_code == 3
    assert "backup" in json.loads(answer.stdout)["error"]["remedy"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Aegis]:
    write_documents(tmp_path / "root", NAMES, paragraphs=1)
    yield Aegis(tmp_path / "home", tmp_path / "root")


def test_a_single_file_and_a_part_of_the_root_are_taken_alone(small: Aegis) -> None:
    assert small.root is not None
    one = small("ingest", Path(small.root) / "harbour" / "ant.txt", "--json")
    assert (one.code, one.json["documents"], one.json["work"]["parsed"]) == (0, 1, 1)
    with dg.DagsterInstance.from_config(str(small.home / "dagster")) as instance:
        (run,) = instance.get_runs()
    assert run.tags["aegis/outcome"] == "succeeded" and run.tags["dagster/partition"] == "harbour"
    part = small("ingest", Path(small.root) / "harbour", "--json").json
    assert (part["documents"], part["work"]["parsed"]) == (2, 1)
    (Path(small.root) / "loose.txt").unlink()
    (Path(small.root) / "harbour" / "bee.txt").unlink()
    everything = small("ingest", "--json").json
    assert (everything["documents"], everything["done"], everything["work"]["parsed"]) == (2, 2, 1)
    assert everything["deleted"] == 1


def test_retry_tries_a_document_that_failed_for_good_again(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "bad.docx").write_text("no office file")
    aegis = Aegis(tmp_path / "home", tmp_path / "root")
    assert aegis("ingest", "--json").json["failed"] == 1
    assert aegis("ingest", "--json").json["failed"] == 1
    assert aegis("status", "--json").json["failures"][0]["attempts"] == 1  # not tried again by itself
    answer = aegis("retry", "--json")
    assert (answer.code, answer.json["documents"], answer.json["failed"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("command", "most", "needed"),
    [
        (["--help"], 430, set()),
        (["status"], 640, set()),
        (["show", "loose.txt"], 660, set()),
        (["costs"], 640, set()),
        (["ingest"], 680, set()),  # everything is up to date
        (["doctor"], 1_850, {"alembic", "dagster", "psutil", "qdrant_edge"}),  # it opens Dagster's storage
        (["search", "repairs"], 800, {"onnxruntime", "qdrant_edge", "numpy"}),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_a_command_imports_only_what_it_needs(aegis: Aegis, command: list[str], most: int, needed: set[str]) -> None:
    program = f"from aegis_dagster.cli.app import app\napp({command!r})"
    imported = imported_by(program, aegis.environment(), aegis.home.parent, code=int(command == ["ingest"]))
    assert imported & HEAVY == needed
    assert len(imported) < most


def test_too_little_memory_for_a_single_file_is_an_error(small: Aegis) -> None:
    assert small.root is not None
    answer = small("ingest", Path(small.root) / "loose.txt", "--json", AEGIS_MEMORY_NEEDED_MB="999999999")
    assert answer.code == 3
    assert "AEGIS_MEMORY_NEEDED_MB" in answer.json["error"]["remedy"]


def test_a_run_that_is_interrupted_says_so_and_the_next_one_goes_on(tmp_path: Path) -> None:
    write_documents(tmp_path / "root", [f"c/{number}.txt" for number in range(30)])
    aegis = Aegis(tmp_path / "home", tmp_path / "root")
    with aegis.start("ingest") as process:
        while process.poll() is None and not (aegis.home / "artifacts" / "parse").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=200)
    assert process.returncode == 130
    assert "goes on where this one stopped" in errors and "Traceback" not in errors
    assert aegis("ingest", "--json").json["done"] == 30


def test_stdout_has_one_json_object_and_nothing_else(aegis: Aegis) -> None:
    for command in (["status"], ["digest"], ["graph"], ["ingest"]):
        assert isinstance(json.loads(aegis(*command, "--json").stdout), dict)
