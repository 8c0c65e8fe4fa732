"""CSV as programs write it: every line arrives, and a bad line costs itself only."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.csv_records import read_records
from aegis_dagster.parsing.text.csv_table import read


def parsed(data: bytes | str, suffix: str = ".csv") -> Parsed:
    return read(data.encode() if isinstance(data, str) else data, name=f"a{suffix}", kind="csv", options={})


def shown(data: bytes | str, suffix: str = ".csv") -> str:
    return parsed(data, suffix).document.export_to_markdown(compact_tables=True)


def tables(data: bytes | str, suffix: str = ".csv") -> list[list[list[str]]]:
    return [[[cell.text for cell in row] for row in table.data.grid] for table in parsed(data, suffix).document.tables]


ROWS = [["id", "name", "price"], ["1", "Gasket", "4,50"], ["2", "Seal", "1,20"]]


@pytest.mark.parametrize(
    "data",
    [
        "id;name;price\n1;Gasket;4,50\n2;Seal;1,20\n",
        'id,name,price\n1,Gasket,"4,50"\n2,Seal,"1,20"\n',
        "id\tname\tprice\n1\tGasket\t4,50\n2\tSeal\t1,20\n",
        "id|name|price\n1|Gasket|4,50\n2|Seal|1,20",
        "id;name;price\r\n1;Gasket;4,50\r\n2;Seal;1,20\r\n",
        "id;name;price\r1;Gasket;4,50\r2;Seal;1,20\r",
        "\ufeffid;name;price\n1;Gasket;4,50\n2;Seal;1,20\n",
        "sep=;\nid;name;price\n1;Gasket;4,50\n2;Seal;1,20\n",
        '"sep=|"\r\nid|name|price\r\n1|Gasket|4,50\r\n2|Seal|1,20\r\n',
        "id;name;price;\n1;Gasket;4,50;\n2;Seal;1,20;\n",
        "id;name;price\n1;Gasket;4,50;\n2;Seal;1,20;\n",
        'id;name;price\n1; "Gasket" ;4,50\n2;Seal;1,20\n',
        "\n\n;;\nid;name;price\n1;Gasket;4,50\n\n2;Seal;1,20\n",
    ],
)
def test_the_same_table_in_many_dialects(data: str) -> None:
    assert tables(data) == [ROWS]
    assert parsed(data).warnings == ()


def test_decimal_commas_are_no_delimiters() -> None:
    assert tables("1;2,5;3,5\n2;3,5;4,5\n") == [[["1", "2,5", "3,5"], ["2", "3,5", "4,5"]]]


def test_a_tsv_is_divided_by_tabs_only() -> None:
    assert tables("a, b\tc\n1, 2\t3\n4, 5\t6\n", ".tsv")[0][1] == ["1, 2", "3"]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('1,12" pipe,ok', ["1", '12" pipe', "ok"]),
        ('1,"12"" pipe",ok', ["1", '12" pipe', "ok"]),
        ('1,"12" pipe",ok', ["1", '12" pipe', "ok"]),
        ('1,3/4",ok', ["1", '3/4"', "ok"]),
        ('1,"a, b",ok', ["1", "a, b", "ok"]),
        ('1,"",ok', ["1", "", "ok"]),
        ('1,"two\nlines",ok', ["1", "two lines", "ok"]),
        ('1,"said ""yes"",\nthen ""no""",ok', ["1", 'said "yes", then "no"', "ok"]),
    ],
)
def test_quotes(line: str, cells: list[str]) -> None:
    data = f"id,size,note\n{line}\n2,x,y\n"
    assert tables(data) == [[["id", "size", "note"], cells, ["2", "x", "y"]]]
    assert parsed(data).warnings == ()


@pytest.mark.parametrize(
    "following", ["2,x,y\n3,x,y\n", '2,"x",y\n3,x,y\n', '2,"x, z",y\n3,"x",y\n', '"2",x,y\n3,x,y\n']
)
def test_a_quote_that_stays_open_costs_its_line_only(following: str) -> None:
    found = tables(f'id,name,note\n0,a,b\n1,"open pipe,c\n{following}')[0]
    assert [row[0] for row in found] == ["id", "0", "1", "2", "3"]
    assert found[2] == ["1", '"open pipe', "c"]
    assert parsed(f'id,name,note\n0,a,b\n1,"open pipe,c\n{following}').warnings == (
        "Line 3 has a quote that is never closed; it was read as a character.",
    )


def test_a_line_with_too_few_or_too_many_columns_is_named_and_keeps_its_text() -> None:
    data = "a,b,c\n" + "1,2,3\n" * 30 + "short,line\n" + "free,text, with, commas\n"
    found = tables(data)[0]
    assert found[-2:] == [["short", "line", ""], ["free", "text", "with, commas"]]
    assert parsed(data).warnings == (
        "Line 32 has fewer columns than the table; the missing cells are empty.",
        "Line 33 has more columns than the table; the last column holds what is too much.",
    )


def test_many_wide_lines_make_the_table_wide() -> None:
    assert tables("1,2\na,b,c\na,b,c\na,b\na,b\n")[0][1] == ["a", "b", "c"]


def test_a_nul_costs_itself_only() -> None:
    data = "id,name\n1,Pum\x00pe\n2,ok\n"
    assert tables(data) == [[["id", "name"], ["1", "Pumpe"], ["2", "ok"]]]
    assert parsed(data).warnings == ("Line 2 has NUL or other control characters; they were left out.",)


def test_a_field_may_be_longer_than_the_limit_of_the_standard_library() -> None:
    limit = csv.field_size_limit()
    assert tables(f'id,text\n1,"{"word " * 40_000}end"\n2,short\n')[0][1][1].endswith("word end")
    assert csv.field_size_limit() == limit


def test_what_stands_before_and_after_a_table_is_kept_in_its_place() -> None:
    text = shown(
        "Export of the store\nDate:;2024-03-01\n\nid;name;price\n1;Gasket;4,50\n2;Seal;1,20\nPrinted by hand\n"
    )
    places = [
        text.index(word) for word in ("Export of the store", "Date: 2024-03-01", "| id ", "Gasket", "Printed by hand")
    ]
    assert all(before < after for before, after in pairwise(places))


def test_a_preamble_that_delimiters_fill_up_is_no_header() -> None:
    data = "Report 2024;;;\nFrom:;Hamburg;;\n;;;\nid;name;price;qty\n1;x;2,5;3\n2;y;3,5;4\nTotal;;6,0;7\n"
    assert tables(data)[0][0] == ["id", "name", "price", "qty"]
    assert tables(data)[0][-1] == ["Total", "", "6,0", "7"]
    assert "From: Hamburg" in shown(data)


def test_tables_that_blank_lines_divide_are_apart_under_their_own_titles() -> None:
    data = "Prices\nid,price\n1,2.5\n2,3.5\n\nStock\nid,place,qty\n1,Kiel,5\n2,Bonn,6\n"
    assert [table[0] for table in tables(data)] == [["id", "price"], ["id", "place", "qty"]]
    assert shown(data).startswith("## Prices\n\n| id")
    assert "## Stock\n\n| id" in shown(data)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ("word\nalpha\nbeta gamma\n", [["word"], ["alpha"], ["beta gamma"]]),
        ("a,b,c\n", [["a", "b", "c"]]),
        ("alone", [["alone"]]),
        ("a,a,,b\n1,2,3,4\n", [["a", "a", "", "b"], ["1", "2", "3", "4"]]),
    ],
)
def test_little_tables_are_tables(data: str, rows: list[list[str]]) -> None:
    assert tables(data) == [rows]


def test_the_line_that_names_the_delimiter_is_counted_as_left_out() -> None:
    assert [item.text for item in parsed("sep=;\na;b\n1;2\n").left_out] == ["sep=;"]


def test_rows_beyond_what_fits_in_tables_are_text_with_the_header_above_them() -> None:
    rows = "".join(f"{number},name {number}|x\n" for number in range(51_000))
    document = parsed("id,name\n" + rows).document
    text = document.texts[-1].text
    assert text.startswith("| id | name |\n| - | - |\n")
    assert text.endswith("| 50999 | name 50999&#124;x |")
    first = int(document.texts[0].text.split("\n")[2].split(" ")[1])
    assert document.tables[0].data.num_rows == first + 1


_CELL = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=8
)


@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(_CELL, min_size=width, max_size=width), min_size=3, max_size=6)
    ),
    st.sampled_from(",;\t|"),
)
def test_what_the_standard_library_writes_is_read_back(rows: list[list[str]], delimiter: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    assert [record.cells for record in read_records(f"sep={delimiter}\n" + out.getvalue()).records] == rows


@given(st.text(alphabet='ab1";,\n\t ', max_size=300))
def test_no_text_is_lost_whatever_is_written(text: str) -> None:
    document = parsed(text).document
    cells = [cell.text for table in document.tables for cell in table.data.table_cells]
    found = "".join([*(item.text for item in document.texts), *cells])
    for char in "ab1":
        assert found.count(char) == text.count(char)
