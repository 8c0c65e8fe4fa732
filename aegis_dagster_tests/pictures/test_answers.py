"""Which answers of a vision model are descriptions, and what is left of them."""

import pytest

from aegis_dagster.pictures.answers import MAX_CHARACTERS, description_in

GOOD = "A bar chart of revenue by quarter. North reached 4711 and South 815."


@pytest.mark.parametrize(
    "good",
    [
        "Formula: E = mc²",
        "红色的正方形。",
        'A screenshot of a grey box that says "No image available".',
        "A list of three files in a folder: chart one.png, chart two.png and notes.txt.",
        "Photograph of a sign. It says: I cannot see the stars.",
        "A drawing of a person who says they are sorry.",
        "Ein Balkendiagramm: Norden 4711, Süden 815.",
    ],
)
def test_a_description_that_only_looks_like_a_bad_answer_is_kept(good: str) -> None:
    assert description_in(good, cut=False) == good


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("A chart. North 4711. South 81", "A chart. North 4711."),
        ("A table:\nNorth 4711\nSouth 81", "A table:\nNorth 4711"),
        ("柱状图。北方 4711。南方 81", "柱状图。北方 4711。"),
        ("Title: 3.5 percent of 12", "Title: 3.5 percent of"),
        ('A sign says "Stop here!" in re', 'A sign says "Stop here!"'),
    ],
)
def test_what_was_cut_off_ends_with_its_last_whole_part(answer: str, text: str) -> None:
    assert description_in(answer, cut=True) == text
    assert description_in(answer, cut=False) == answer


def test_a_description_without_end_is_bounded_at_a_sentence() -> None:
    text = description_in("Again the same is said. " * 1000, cut=False)
    assert text is not None
    assert text.endswith("Again the same is said.")
    assert MAX_CHARACTERS - 30 < len(text) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    "wrapped",
    [
        f"<think>A chart?\nYes.</think>\n{GOOD}",
        f"It may be a chart.</think>{GOOD}",
        f"```text\n{GOOD}\n```",
        f"\n\n{GOOD}\n",
    ],
)
def test_thinking_and_wrapping_are_removed(wrapped: str) -> None:
    assert description_in(wrapped, cut=False) == GOOD


@pytest.mark.parametrize("endless", ["<think>" * 40_000, "</think>" * 40_000, "![" * 100_000, "```\n" * 60_000])
def test_an_answer_without_end_is_judged(endless: str) -> None:
    assert description_in(endless * 4, cut=False) is None  # what looks at it again from every place takes hours
