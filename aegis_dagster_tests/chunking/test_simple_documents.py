"""Documents that are read without docling_core: the same Markdown, parts and texts as with it."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from docling_core.types.doc.base import Size
from docling_core.types.doc.document import DoclingDocument
from docling_core.types.doc.items.table.table_data import RichTableCell, TableData
from docling_core.types.doc.items.text import ListItem, SectionHeaderItem, TitleItem
from docling_core.types.doc.labels import DocItemLabel
from hypothesis import given, settings

from aegis_dagster.chunking.documents import document_pieces, heading_texts, load_document, to_markdown, walk
from aegis_dagster.chunking.hybrid import Part
from aegis_dagster.chunking.parts import parts_of
from aegis_dagster.chunking.simple import read_simple
from aegis_dagster_tests.parsing.conftest import parse_path
from aegis_dagster_tests.support.chunked_documents import empty_document, prov, table_of, tokenizer_file
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import PEPS, SAMPLES
from aegis_dagster_tests.support.simple_documents import simple_documents, tables
from scripts.benchmark_phases.files import write_files


def written(document: DoclingDocument) -> str:
    """What the parse stage writes."""
    return document.model_dump_json(exclude_none=True, by_alias=True)


def told(parts: Iterable[Part]) -> list[Any]:
    """Everything that parts tell."""
    return [(each.text, each.headings, [(i.pointer, i.is_list_item, i.text()) for i in each.items]) for each in parts]


def assert_read_alike(content: str) -> None:
    """Our reading of a document.json is docling_core's."""
    ours, docling = read_simple(content), load_document(content)
    assert ours is not None
    assert ours.markdown() == to_markdown(docling)
    assert told(ours.parts()) == told(parts_of(docling))
    assert ours.pieces() == document_pieces(docling)
    assert ours.headings() == heading_texts(docling)
    headings = [(item, above) for item, above in walk(docling) if isinstance(item, TitleItem | SectionHeaderItem)]
    assert list(ours.heading_paths()) == [(*above, item.text) for item, above in headings]


@given(data=tables())
def test_any_table_of_plain_cells_is_written_as_docling_core_writes_it(data: TableData) -> None:
    document = empty_document()
    document.add_table(data=data)
    assert_read_alike(written(document))


@settings(max_examples=150)
@given(document=simple_documents())
def test_any_simple_document_is_read_as_docling_core_reads_it(document: DoclingDocument) -> None:
    assert_read_alike(written(document))


def test_real_texts_are_read_as_docling_core_reads_them(tmp_path: Path) -> None:
    if not PEPS.is_file():
        missing(f"the shared PEPs are not at {PEPS}")
    write_files(tmp_path / "files", 12)
    files = [*(tmp_path / "files").iterdir(), *(SAMPLES / "handbook").glob("*.md")]
    read = [parse_path(file, tmp_path / f"parsed-{file.name}").folder / "document.json" for file in files]
    contents = [file.read_text("utf-8") for file in read]
    assert all(read_simple(content) for content in contents[:12])
    for content in contents:
        if read_simple(content):
            assert_read_alike(content)


def test_each_item_is_rendered_once_for_the_markdown_and_the_parts() -> None:
    document = empty_document()
    document.add_heading("Engines")
    document.add_text(DocItemLabel.TEXT, "Check the water.")
    group = document.add_list_group()
    for number in range(5):
        item = document.add_list_item(f"Step {number}", parent=group)
        document.add_text(DocItemLabel.TEXT, "Mind the heat.", parent=document.add_inline_group(parent=item))
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.endswith("chunking/markdown.py"):
            calls[frame.f_code.co_name] += 1

    content = written(document)
    sys.setprofile(count)
    try:
        read = read_simple(content)
        assert read is not None
        read.markdown()
        parts: list[Part] = list(read.parts())
    finally:
        sys.setprofile(None)
    assert len(parts) == 2
    assert calls["_text"] == len(document.texts)


def with_deep_lists(document: DoclingDocument) -> None:
    item: ListItem | None = None
    for depth in range(40):
        item = document.add_list_item(f"{depth}", parent=document.add_list_group(parent=item))


def with_list_in_cell(document: DoclingDocument) -> None:
    table = document.add_table(data=TableData(num_rows=1, num_cols=1))
    group = document.add_list_group(parent=table)
    [plain] = table_of([["x"]]).table_cells
    table.data.table_cells.append(RichTableCell(ref=group.get_ref(), **plain.model_dump()))


@pytest.mark.parametrize(
    "add",
    [
        lambda document: document.add_table(
            data=table_of([["a"]]), caption=document.add_text(DocItemLabel.CAPTION, "A table")
        ),
        lambda document: document.add_table(data=table_of([["a\rb"]])),  # two lines to tabulate
        lambda document: document.add_table(data=table_of([["a"]]), prov=prov(1, 1, 2, 3, 4)),
        with_list_in_cell,
        lambda document: document.add_picture(),
        lambda document: document.add_page(page_no=1, size=Size(width=10, height=10)),
        lambda document: document.add_text(DocItemLabel.TEXT, "here", prov=prov(1, 1, 2, 3, 4)),
        lambda document: document.add_text(DocItemLabel.FOOTNOTE, "below"),
        lambda document: document.add_code("x = 1", caption=document.add_text(DocItemLabel.CAPTION, "A sum")),
        with_deep_lists,
    ],
    ids=["captioned", "control", "placed", "list in cell", "picture", "page", "place", "footnote", "caption", "depth"],
)
def test_what_a_document_holds_beyond_texts_is_left_to_docling_core(add: Callable[[DoclingDocument], object]) -> None:
    document = empty_document()
    document.add_text(DocItemLabel.TEXT, "A text.")
    assert read_simple(written(document)) is not None
    add(document)
    assert read_simple(written(document)) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: values.pop("texts"),
        lambda values: values.update(version="2.0.0"),
        lambda values: values["texts"][0].update(text=7),
        lambda values: values["texts"][0].update(unknown="x"),
        lambda values: values["texts"][0].update(self_ref="#/texts/1"),
        lambda values: values["texts"][0].pop("parent"),
        lambda values: values["body"]["children"].append({"$ref": "#/texts/0"}),
        lambda values: values["body"]["children"].append({"$ref": "#/texts/9"}),
        lambda values: values["groups"][0]["children"].append({"$ref": "#/groups/0"}),
        lambda values: values["texts"][1]["parent"].update({"$ref": "#/body"}),  # docling_core puts it into a list
    ],
)
def test_a_document_that_docling_core_refuses_or_mends_is_left_to_it(damage: Callable[[Any], object]) -> None:
    document = empty_document()
    document.add_text(DocItemLabel.TEXT, "A text.")
    document.add_list_item("An item", parent=document.add_list_group())
    values = json.loads(written(document))
    damage(values)
    assert read_simple(json.dumps(values)) is None


def test_simple_documents_are_chunked_without_docling_core(tmp_path: Path) -> None:
    document = empty_document()
    document.add_heading("Engines")
    document.add_text(DocItemLabel.TEXT, "Check the water every week.")
    options = {"max_tokens": 240, "merge_peers": True, "tokenizer": str(tokenizer_file())}
    payload = {"descriptions": [], "out_dir": str(tmp_path), "options": options, "plain": False}
    script = (
        "import json, sys\n"
        "from aegis_dagster.chunking.tasks import chunk_document\n"
        "chunk_document(sys.argv[1], ([], []), json.loads(sys.argv[2]))\n"
        "print(sorted({'docling_core', 'pydantic', 'pandas', 'transformers', 'PIL'} & set(sys.modules)))\n"
    )
    command = [sys.executable, "-c", script, written(document), json.dumps(payload)]
    loaded = subprocess.run(command, check=True, timeout=120, capture_output=True, text=True)
    assert loaded.stdout == "[]\n"
    assert (tmp_path / "document.md").read_text() == "## Engines\n\nCheck the water every week."
