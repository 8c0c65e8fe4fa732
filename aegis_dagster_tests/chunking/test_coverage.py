"""The share of a document's words that is found in its chunks."""

from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.domain.coverage import text_coverage


def test_all_words_in_any_order_and_case_are_full_coverage() -> None:
    assert text_coverage("The cat, the dog.", ["DOG the", "cat The"]).share == 1.0


def test_a_word_found_less_often_than_it_stands_is_missing() -> None:
    coverage = text_coverage("ping ping ping pong", ["ping", "pong ping"])
    assert coverage.share == 0.75
    assert coverage.missing_sample == "ping"


def test_a_document_without_words_is_covered() -> None:
    assert text_coverage("--- !", []).share == 1.0


def test_the_sample_has_at_most_200_characters_and_whole_words() -> None:
    words = [f"word{number}" for number in range(100)]
    sample = text_coverage(" ".join(words), []).missing_sample
    assert len(sample) <= 200
    assert sample.split() == words[: len(sample.split())]


def test_a_word_longer_than_a_chunk_may_be_cut_at_multiples_of_16() -> None:
    word = "abcdefghijklmnopq" * 20
    assert text_coverage(word, [word[:160], word[160:]]).share == 1.0
    assert text_coverage(word, [word[:150], word[150:]]).share < 1.0


@given(st.lists(st.text(max_size=40), max_size=10), st.data())
def test_leaving_one_part_out_misses_exactly_its_words(parts: list[str], data: st.DataObject) -> None:
    assert text_coverage("\n".join(parts), parts).share == 1.0
    if parts:
        left_out = data.draw(st.integers(0, len(parts) - 1))
        kept = [part for index, part in enumerate(parts) if index != left_out]
        lost_words = text_coverage(parts[left_out], []).share < 1.0
        assert (text_coverage("\n".join(parts), kept).share < 1.0) == lost_words
