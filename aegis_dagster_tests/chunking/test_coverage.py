"""What a file holds and its chunks do not: noticed with its place; and what only looks different, which is no loss."""

import random
import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aegis_dagster.domain.coverage import Coverage, Missing, Words, text_coverage
from aegis_dagster.domain.left_out import LeftOut, Piece, Reason


def coverage(text: str, *chunks: str) -> Coverage:
    """The coverage of a text of one piece."""
    return text_coverage([Piece("body", text)], chunks)


def shown(found: Coverage) -> list[tuple[str, str]]:
    """What is missing, as pairs of place and text."""
    return [(item.place, item.text) for item in found.missing]


def prose(words: int, seed: int = 1) -> list[str]:
    """Words as in a long text: some often, most rarely."""
    chosen = random.Random(seed)
    return [f"w{min(int(chosen.expovariate(0.02)), 900)}" for _ in range(words)]


def test_all_words_in_any_order_and_case_are_full_coverage() -> None:
    assert coverage("The cat, the dog.", "DOG the", "cat The") == Coverage(1.0)


def test_a_word_found_less_often_than_it_stands_is_missing() -> None:
    found = coverage("ping ping ping pong", "ping", "pong ping")
    assert found.share == 0.75
    assert shown(found) == [("body", "ping")]


@given(st.text(st.sampled_from("aB9_ -\n\u00adäﬁ٣の") | st.characters(codec="utf-8"), max_size=60))
def test_words_are_runs_of_letters_and_digits_of_sixteen_at_most(text: str) -> None:
    found = re.compile(r"[^\W_]{1,16}").findall(text.lower()) if text.isascii() else None
    assert found is None or Words([text]).of_texts == [found]
    assert Words([f"{text}\n"]).of_texts == Words([text]).of_texts
    assert text_coverage([Piece("body", text)], [text.upper()]).share == 1.0 or not text.isascii()


def test_the_chunks_are_read_once_for_several_comparisons() -> None:
    chunks = Words(text for text in ("The cat", "the dog"))  # what gives its texts once
    assert text_coverage([Piece("page 1", "the cat, the dog")], chunks) == Coverage(1.0)
    assert shown(text_coverage([Piece("page 1", "the dog and the cat")], chunks)) == [("page 1", "and")]
    header = [LeftOut(Reason.RUNNING_LINE, "page 1", "and")]
    assert text_coverage([Piece("page 1", "the dog and the cat")], chunks, header) == Coverage(1.0)
    assert shown(text_coverage([Piece("page 1", "the dog and the cat")], chunks)) == [("page 1", "and")]


def test_a_file_without_words_is_covered() -> None:
    assert coverage("--- !") == Coverage(1.0)
    assert text_coverage([], ["text"]) == Coverage(1.0)


def test_one_footnote_in_a_long_text_is_a_loss_with_its_place() -> None:
    text = " ".join(prose(20_000))
    pieces = [Piece("body", text), Piece("footnote 7", "See the treaty of 1911.")]
    found = text_coverage(pieces, [text])
    assert found.share > 0.999
    assert found.losses == 1
    assert found.missing == (Missing("footnote 7", "See the treaty of 1911."),)


def test_one_of_many_equal_numbers_is_missed_where_its_surroundings_are_missing() -> None:
    pages = [f"Invoice number {1000 + number} total 90 crowns to be paid to the quay" for number in range(9)]
    kept = [page.replace("total 90 crowns", "crowns") if number == 4 else page for number, page in enumerate(pages)]
    found = text_coverage([Piece(f"page {number}", page) for number, page in enumerate(pages)], kept)
    assert shown(found) == [("page 4", "total 90")]


def test_stray_letters_are_named_and_are_no_losses() -> None:
    found = text_coverage([Piece("page 1", "a x text"), Piece("page 2", "No 7")], ["text"])
    assert found.losses == 1
    assert shown(found) == [("page 2", "No 7"), ("page 1", "a x")]


def test_ten_samples_are_kept_and_each_is_short() -> None:
    pieces = [Piece(f"page {number}", f"lost{number} " * 200) for number in range(30)]
    found = text_coverage(pieces, [])
    assert found.losses == 30
    assert [item.place for item in found.missing] == [f"page {number}" for number in range(10)]
    assert all(len(item.text) <= 200 for item in found.missing)


@pytest.mark.parametrize(
    ("in_the_file", "in_the_chunks"),
    [
        ("The ver-\nfügung stands", "The verfügung stands"),
        ("The verfügung stands", "The ver- fügung stands"),
        ("T O T A L 4 8 0", "TOTAL 480"),
        ("a TOTAL of 480 in April", "a T O T A L of 4 8 0 in April"),
        ("the foot note 5 says", "the footnote5 says"),
        ("ﬁnal oﬃce", "final office"),
        ("final office", "ﬁnal oﬃce"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"),
        ("ＡＢＣ１２３", "abc123"),
        ("STRASSE", "Straße"),
        ("e\u0301tat", "état"),
        ("BRAF mutant V600E BRAF mutant V600E", "mutant BRAFV600E mutant BRAFV600E"),
        ("کاالی فوالد", "کالای فولاد"),
        ("検査報告書の要約", "検査 報告書\nの 要約"),
        ("ข้อความภาษาไทย", "ข้อความ ภาษาไทย"),
        ("**bold**_word_ `code_name`", "bold word code_name"),
        ("x² + ½", "x2 + 1⁄2"),
        ("a" * 100, f"{'a' * 30}\n{'a' * 70}"),
    ],
)
def test_what_only_looks_different_is_no_loss(in_the_file: str, in_the_chunks: str) -> None:
    around = " ".join(prose(40))
    assert coverage(f"{around} {in_the_file} {around}", f"{around} {in_the_chunks} {around}") == Coverage(1.0)


@pytest.mark.parametrize("number", ["5", "480", "1001"])
def test_a_number_inside_another_one_is_not_found(number: str) -> None:
    found = coverage(
        f"Room {number} is closed. Built in 14801001.", "Room is closed. Built in 14801001. Also 2005 480100."
    )
    assert shown(found) == [("body", number)]


def test_what_is_left_out_on_purpose_is_not_missing() -> None:
    pages = [Piece(f"page {number}", f"ACME report\ntext{number}\n{number}") for number in range(1, 73)]
    chunks = ["ACME report", *(f"text{number}" for number in range(1, 73))]
    left_out = [LeftOut(Reason.RUNNING_LINE, f"page {number}", "ACME report") for number in range(2, 73)]
    left_out += [LeftOut(Reason.PAGE_NUMBER, f"page {number}", str(number)) for number in range(1, 73)]
    assert text_coverage(pages, chunks, left_out) == Coverage(1.0)
    assert text_coverage(pages, chunks, left_out[1:]).missing[0].text == "ACME report"
    assert text_coverage(pages, chunks, left_out[:-1]).missing[0] == Missing("page 72", "72")


def test_a_second_form_of_a_text_does_not_stand_in_for_the_first() -> None:
    left_out = [LeftOut(Reason.OTHER_BODY, "HTML", "the only body")]
    assert text_coverage([Piece("body", "the only body")], [], left_out).losses == 1


def test_words_of_a_line_stand_in_the_sample_as_they_are_written() -> None:
    found = coverage("Kept (before) “Ärger-Nr. 4711/B”, kept after", "kept before", "kept after")
    assert shown(found) == [("body", "“Ärger-Nr. 4711/B”,")]


def test_equal_words_of_a_large_file_are_kept_once() -> None:
    read = Words(["the gearbox and the GEARBOX\n" * 50, "Größe, größe and the gearbox"])
    words = [word for words in read.of_texts for word in words]
    assert len(words) == 255
    assert len({id(word) for word in words}) == len(read.counts) == 4


def test_a_word_longer_than_a_chunk_may_be_cut_at_multiples_of_16() -> None:
    word = "abcdefghijklmnopq" * 20
    assert coverage(word, word[:160], word[160:]).share == 1.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=40), max_size=10), st.data())
def test_leaving_one_part_out_misses_it(parts: list[str], data: st.DataObject) -> None:
    pieces = [Piece(str(number), part) for number, part in enumerate(parts)]
    assert text_coverage(pieces, parts).share == 1.0
    if parts:
        lost = data.draw(st.integers(0, len(parts) - 1))
        kept = [part for number, part in enumerate(parts) if number != lost]
        has_words = text_coverage(pieces[lost : lost + 1], []).share < 1.0
        assert (text_coverage(pieces, kept).share < 1.0) == has_words


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(lambda words: [], id="nothing kept"),
        pytest.param(lambda words: [" ".join(word + "x" for word in words)], id="every word other"),
        pytest.param(lambda words: [" ".join(" ".join(word) for word in words)], id="every word spaced"),
        pytest.param(lambda words: ["".join(words)], id="no spaces"),
        pytest.param(lambda words: words[::2], id="every second word"),
    ],
)
def test_the_work_grows_with_the_length_and_no_faster(chunks: Callable[[list[str]], list[str]]) -> None:
    def calls(words: list[str]) -> int:
        counted = 0

        def count(*_: object) -> None:
            nonlocal counted
            counted += 1

        pieces, texts = [Piece("body", " ".join(words))], chunks(words)
        sys.setprofile(count)
        try:
            text_coverage(pieces, texts)
        finally:
            sys.setprofile(None)
        return counted

    assert calls(prose(4_000)) < 5 * calls(prose(1_000)) + 1_000
