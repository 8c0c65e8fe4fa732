"""Which lines at the edge of a page run, and which are content."""

import pytest

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.parsing.pdf.running_lines import Edge, EdgeLine, running_lines


def verdicts(*texts: str, edge: Edge = Edge.TOP, distance: float = 0.05) -> list[str]:
    """ "stays", a reason, or "content" for a line on each page."""
    found = running_lines([EdgeLine(text, page, edge, distance) for page, text in enumerate(texts, 1)])
    return [_word(found[n].reason, stays=found[n].stays) if n in found else "content" for n in range(len(texts))]


def _word(reason: Reason, *, stays: bool) -> str:
    return "stays" if stays else reason.value


@pytest.mark.parametrize(
    "texts",
    [
        ("Invoice No. 1001", "Invoice No. 1002", "Invoice No. 1003"),
        ("Invoice 1", "Invoice 2", "Invoice 3"),
        ("4711",),
        ("1",),
        ("Page 1 of 1",),
        ("4711", "4711a"),
        ("Contract | 1001", "Contract | 1002"),
        ("Chapter 1", "Chapter 2", "Chapter 3"),
        ("12 March 2026", "14 March 2026", "20 March 2026"),  # the dates of letters
        ("3", "9", "27"),  # numbers that do not run on
        ("a", "Same", "b", "c", "Same"),  # too far apart
        ("civil", "mix", "dim"),
    ],
)
def test_what_does_not_repeat_or_run_on_is_content(texts: tuple[str, ...]) -> None:
    assert set(verdicts(*texts)) == {"content"}


@pytest.mark.parametrize(
    "texts",
    [
        ("1", "2", "3"),
        ("7", "8"),
        ("1043", "1044", "1045"),  # a journal
        ("Page 1 of 3", "Page 2 of 3", "Page 3 of 3"),
        ("Page 1", "Page 2"),
        ("Seite 1 von 2", "Seite 2 von 2"),
        ("- 3 -", "- 4 -"),
        ("3 / 10", "4 / 10"),
        ("i", "ii", "iii", "iv"),
        ("XIV", "XV"),
        ("A-1", "A-2"),
        ("A - 1", "A - 2"),
        ("2.17", "2.18"),
        ("第 1 页 共 2 页", "第 2 页 共 2 页"),
        ("Page 1 of 2", "Page 2 of 2", "Page 1 of 2", "Page 2 of 2"),  # two letters in one file
    ],
)
def test_page_numbers_that_run_on_are_left_out(texts: tuple[str, ...]) -> None:
    assert set(verdicts(*texts, edge=Edge.BOTTOM)) == {"page_number"}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("Rules", "Rules", "Rules"), ["stays", "running_line", "running_line"]),
        (("Left", "Right", "Left", "Right"), ["stays", "stays", "running_line", "running_line"]),
        (("One", "One", "Two", "Two"), ["stays", "running_line", "stays", "running_line"]),
        (("Title", "Rules", "Rules"), ["content", "stays", "running_line"]),
        (("Rules | 1", "Rules | 2"), ["stays", "running_line"]),
        (("2 Rules of the quay", "3 Rules of the quay"), ["stays", "running_line"]),
        (("Rules - Page 1 of 2", "Rules - Page 2 of 2"), ["stays", "running_line"]),
        (("4 August 2026", "4 August 2026"), ["stays", "print_date"]),
        (("Printed 2026-03-15 10:01", "Printed 2026-03-15 10:02"), ["stays", "print_date"]),
        (("Gedruckt am 15.03.2026", "Gedruckt am 16.03.2026"), ["stays", "print_date"]),
        (("15.03.2026, 10:01:07", "15.03.2026, 10:01:09"), ["stays", "print_date"]),
        (("Printed 2026-03-16", "Printed 2026-03-15"), ["content", "content"]),  # time runs on
        (("1", "2", "4711", "4"), ["page_number", "page_number", "content", "page_number"]),
    ],
)
def test_one_copy_of_a_running_line_stays(texts: tuple[str, ...], expected: list[str]) -> None:
    assert verdicts(*texts) == expected


def test_a_line_that_repeats_at_another_height_is_content() -> None:
    lines = [EdgeLine("None.", 1, Edge.BOTTOM, 0.02), EdgeLine("None.", 2, Edge.BOTTOM, 0.09)]
    assert running_lines(lines) == {}


def test_a_page_number_may_follow_the_text_at_any_height() -> None:
    lines = [EdgeLine(str(page), page, Edge.BOTTOM, 0.02 * page) for page in (1, 2, 3)]
    assert len(running_lines(lines)) == 3


def test_a_long_hostile_line_is_read_in_time() -> None:
    texts = ["page " * 50_000 + str(n) for n in (1, 2)] + ["1-" * 90 + "|", "| " * 95, "page " * 38 + "x"]
    assert set(verdicts(*texts)) == {"content"}
