"""Previews without a run: pages of every kind, pictures with descriptions, the drawing of a graph."""

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from aegis_dagster.composition.project import Project
from aegis_dagster.defs.ingestion.graph_picture import DrawnEntity, draw_graph, placed
from aegis_dagster.defs.ingestion.page_preview import first_page
from aegis_dagster.defs.ingestion.previews import preview_of
from aegis_dagster.domain.stages import Document, Outcome, Stage, Status
from aegis_dagster_tests.support.dagster_runs import pictures_in
from aegis_dagster_tests.support.projects import make_project, scan, write_documents


def text(label: str, said: str, page: int | None = None, **more: Any) -> dict[str, Any]:
    prov = [{"page_no": page}] if page else []
    return {"label": label, "text": said, "prov": prov, "children": [], **more}


def below(kind: str, *numbers: int) -> dict[str, Any]:
    return {"label": "group", "children": [{"$ref": f"#/{kind}/{number}"} for number in numbers]}


def test_a_page_is_shown_as_markdown_in_reading_order_and_only_the_first_one() -> None:
    parsed = {
        "body": {"children": [{"$ref": f"#/groups/{number}"} for number in range(4)]},
        "groups": [below("texts", 0, 1, 2, 3), below("tables", 0), below("texts", 4, 5), below("pictures", 0)],
        "texts": [
            text("page_header", "Confidential", 1, content_layer="furniture"),
            text("section_header", "Results", 1, level=1),
            text("text", "Down <b>and</b> ![up](http://x)", 1),
            text("list_item", "first", 1),
            text("text", "of page two", 2),
            text("caption", "Figure 1", 1),
        ],
        "tables": [
            {
                "label": "table",
                "prov": [{"page_no": 1}],
                "data": {"grid": [[{"text": "a|b"}, {"text": "c"}], *[[{"text": "1"}, {"text": "2"}]] * 12]},
            }
        ],
        "pictures": [{"label": "picture", "prov": [{"page_no": 1}], "children": []}],
    }
    assert first_page(parsed, 2000).split("\n\n") == [
        "## Results",
        "Down \\<b>and\\</b> !\\[up\\](http:\u200b//x)",
        "- first",
        "\n".join(["| a\\|b | c |", "| --- | --- |", *["| 1 | 2 |"] * 10]),
        "*2 more rows*",
        "*Figure 1*",
        "*(a picture)*",
    ]
    assert first_page(parsed, 20).split("\n\n") == ["## Results", "…"]


def finish(project: Project, stage: Stage, document: Document, **files: bytes) -> None:
    """The result of a stage, as if it had been made."""
    wanted = project.states.one(document).wanted
    with project.artifacts.staging(stage, wanted[stage], replace=True) as folder:
        for name, data in files.items():
            (folder / name.replace("__", ".")).write_bytes(data)
    project.catalog.claim(stage, {document.id: (document.revision, wanted[stage])})
    project.catalog.finish(stage, {document.id: (wanted[stage], Outcome(Status.DONE, {}))})


def look(project: Project) -> str:
    """The preview of pictures."""
    documents = project.documents.all()
    return preview_of(project, Stage.ENRICH, documents, project.reports.facts(Stage.ENRICH, documents))


def test_a_picture_stands_beside_its_description(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    write_documents(project.root, ["c/a.txt", "c/b.txt"])
    scan(project)
    _, document = project.documents.all()
    stored = io.BytesIO()
    Image.linear_gradient("L").resize((900, 600)).save(stored, "PNG")
    entry = {"picture": "#/pictures/0", "page": 3, "file": "one.png", "described_by": "openai/gpt-4.1-mini"}
    described = [
        {**entry, "text": "A gauge <under> a pier.", "skipped": None},
        {**entry, "text": "", "skipped": "logo"},
    ]
    finish(project, Stage.PARSE, document, one__png=stored.getvalue())
    finish(project, Stage.ENRICH, document, descriptions__json=json.dumps(described).encode())
    shown = look(project)
    assert shown.startswith("From c/b.txt:")
    assert "page 3, described by openai/gpt-4.1-mini:\n\nA gauge \\<under> a pier." in shown
    (picture,) = pictures_in(shown)
    with Image.open(io.BytesIO(picture)) as seen:
        assert seen.size == (320, 213)
    (project.artifacts.path(Stage.PARSE, project.states.one(document).wanted[Stage.PARSE]) / "one.png").unlink()
    assert look(project) == ""  # gone: no preview, and no error


def test_the_graph_is_drawn_the_same_each_time_and_nothing_lies_on_anything(tmp_path: Path) -> None:
    types = ("$a_$", "$\\frac$", "_hidden", "")
    entities = [
        DrawnEntity(f"e{number}", f"Entity ${number}^ \n名", types[number % 4], 1 + number) for number in range(48)
    ]
    edges = [(f"e{number}", f"e{number // 4}", 1000 * number) for number in range(1, 48)]
    drawn = draw_graph(entities, edges)
    assert drawn == draw_graph(entities, edges) and len(drawn) < 60_000
    with Image.open(io.BytesIO(drawn)) as picture:
        picture.load()
    at = list(placed([entity.key for entity in entities], edges).values())
    distances = [abs(complex(*one) - complex(*other)) for index, one in enumerate(at) for other in at[:index]]
    assert min(distances) > 0.05
    assert draw_graph([DrawnEntity("a", "alone", "", 1)], []).startswith(b"\x89PNG")
