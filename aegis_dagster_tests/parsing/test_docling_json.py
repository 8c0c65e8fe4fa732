"""The JSON that docling writes, from strangers: nothing outside it is read, and no broken reference stops anything."""

import json
from pathlib import Path
from typing import Any

import pytest
from docling_core.types.doc.document import DoclingDocument
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.markup.building import Builder, Cell
from aegis_dagster.parsing.markup.docling_json import read
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support.bad_files import picture
from aegis_dagster_tests.support.chunked_documents import chunk_document

PNG = picture("PNG", (40, 30))
WORDS = ("titleword", "paraword", "itemword", "cellword", "captionword", "noteword", "codeword", "altword")


def written() -> dict[str, Any]:
    """What docling writes for a document with everything."""
    builder = Builder("x")
    builder.title("titleword")
    builder.paragraph("paraword")
    builder.item("itemword")
    builder.table([[Cell("cellword"), Cell("b")]], "captionword")
    builder.footnote("noteword")
    builder.code("codeword")
    builder.picture(PNG, "altword")
    values: dict[str, Any] = json.loads(builder.document.model_dump_json(by_alias=True))
    return values


def text_of(values: Any) -> str:
    document = read(json.dumps(values).encode(), name="x.json", kind="docling-json", options={}).document
    return "\n".join(part for chunk in chunk_document(document).chunks for part in (*chunk.headings, chunk.text))


def test_a_document_of_docling_is_read_with_its_pictures(parse: Parse) -> None:
    parsed = parse(json.dumps(written()).encode(), "a.json")
    assert (parsed.manifest["format"], parsed.manifest["pictures"], parsed.manifest["warnings"]) == (
        "docling-json",
        1,
        [],
    )
    assert len(list((parsed.folder / "pictures").iterdir())) == 1
    assert [word for word in WORDS if word not in text_of(written())] == []


@pytest.mark.parametrize("scheme", ["file://", "", "http://127.0.0.1:9", "data:image/png;base64,AAAA#"])
def test_a_picture_outside_the_file_is_not_read_and_told(parse: Parse, tmp_path: Path, scheme: str) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    values = written()
    values["pictures"][0]["image"]["uri"] = f"{scheme}{tmp_path / 'secret.png'}"
    values["origin"] = {"mimetype": "image/png", "binary_hash": 1, "filename": "secret.png"}
    parsed = parse(json.dumps(values).encode(), "a.json")
    assert any("1 pictures that lie outside the file" in warning for warning in parsed.manifest["warnings"])
    assert not list(parsed.folder.glob("pictures/*.png"))
    assert "secret" not in (parsed.folder / "document.json").read_text()


def test_running_lines_stay_once_and_further_copies_are_counted() -> None:
    values = written()
    values["texts"][1]["content_layer"] = "furniture"
    copy = {**values["texts"][1], "self_ref": f"#/texts/{len(values['texts'])}"}
    values["texts"].append(copy)
    values["body"]["children"].append({"$ref": copy["self_ref"]})
    parsed = read(json.dumps(values).encode(), name="x.json", kind="docling-json", options={})
    assert text_of(values).count("paraword") == 1
    assert [(item.reason.value, item.text) for item in parsed.left_out] == [("running_line", "paraword")]


REFERENCES = st.one_of(
    st.sampled_from(["#/body", "#/furniture", "#/texts/0", "#/tables/0", "#/groups/0", "#/pictures/0", "#/texts/99"]),
    st.text(max_size=12),
)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_no_word_is_lost_whatever_the_references_say(data: st.DataObject) -> None:
    values = written()
    holders = [values["body"], values["furniture"], *values["texts"], *values["groups"], *values["tables"]]
    for holder in data.draw(st.lists(st.sampled_from(holders), min_size=1, max_size=6)):
        name = data.draw(st.sampled_from(sorted({"children", "parent", "self_ref", "captions"} & set(holder))))
        if name in ("children", "captions"):
            holder[name] = [{"$ref": ref} for ref in data.draw(st.lists(REFERENCES, max_size=4))]
        else:
            holder[name] = {"$ref": data.draw(REFERENCES)} if name == "parent" else data.draw(REFERENCES)
    text = text_of(values)
    assert [word for word in WORDS if word not in text] == []


def test_a_table_with_cells_outside_its_grid_keeps_them() -> None:
    values = written()
    values["tables"][0]["data"]["table_cells"][0].update(start_row_offset_idx=-3, end_row_offset_idx=900)
    parsed = read(json.dumps(values).encode(), name="x.json", kind="docling-json", options={})
    assert "cellword" in text_of(values)
    assert parsed.warnings == ("1 tables have cells outside their grid, and are read as one column.",)


@pytest.mark.parametrize(
    "data",
    [
        b'{"schema_name": "DoclingDocument"',
        b'{"schema_name": "DoclingDocument", "texts": 5}',
        b'{"schema_name": "DoclingDocument", "name": "x", "texts": [{"label": "text"}]}',
        b'{"schema_name": "DoclingDocument", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"schema_name": "DoclingDocument", "name": "x", "pages": {"x": {}}}',
        b'{"schema_name": "DoclingDocument", "name": "x", "version": "99.0.0"}',
    ],
)
def test_what_is_no_document_is_told(parse: Parse, data: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(data, "a.json")
    assert caught.value.code is FailureCode.CORRUPT_FILE
    assert "Traceback" not in str(caught.value)


def test_a_deep_tree_is_walked() -> None:
    values = written()
    count = len(values["texts"])
    for number in range(count, count + 400):
        place = {"self_ref": f"#/texts/{number}", "parent": {"$ref": "#/body"}, "content_layer": "body"}
        said = {"label": "text", "prov": [], "orig": f"deep {number}", "text": f"deep {number}"}
        item: dict[str, Any] = {**place, **said, "children": [{"$ref": f"#/texts/{number + 1}"}]}
        values["texts"].append(item)
    values["body"]["children"].append({"$ref": f"#/texts/{count}"})
    text = text_of(values)
    assert all(f"deep {number}" in text for number in (count, count + 100, count + 399))


def test_its_document_is_the_same_as_docling_reads() -> None:
    values = written()
    document = read(json.dumps(values).encode(), name="x.json", kind="docling-json", options={}).document
    whole = DoclingDocument.model_validate(values)
    assert document.export_to_markdown() == whole.export_to_markdown()
