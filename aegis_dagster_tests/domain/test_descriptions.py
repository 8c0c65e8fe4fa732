"""What a description says: a fair share of each document, whatever their order."""

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.domain.descriptions import MAX_DESCRIPTION_CHARACTERS, Said, description_of, statements_of

SAID = st.lists(st.builds(Said, st.sampled_from("abcdefgh"), st.sampled_from([f"{n}" * n for n in range(1, 1000, 40)])))


def test_descriptions_stand_in_document_order_once_each() -> None:
    said = [
        Said("c", "said late and early"),
        Said("a", "said late and early"),
        Said("b", "a second text"),
        Said("a", "also in a"),
    ]
    for order in permutations(said):
        assert description_of(order) == "also in a\nsaid late and early\na second text"
        assert [(each.document_id, each.documents) for each in statements_of(order)] == [("a", 1), ("a", 2), ("b", 1)]


def test_the_description_of_a_hub_is_capped_at_whole_texts() -> None:
    said = [Said(f"{number:03}", f"{number:03} " * 25) for number in range(100)]
    description = description_of(said)
    assert MAX_DESCRIPTION_CHARACTERS - 101 < len(description) <= MAX_DESCRIPTION_CHARACTERS
    assert description.split("\n") == [each.text for each in said[: len(description.split("\n"))]]


@pytest.mark.parametrize("loud", ["a-loud.md", "z-loud.md"])
@pytest.mark.parametrize("length", [40, 300, 1000])
def test_a_document_that_says_much_leaves_each_other_its_share(loud: str, length: int) -> None:
    noise = [Said(loud, f"{number:03} noise ".ljust(length, "!")) for number in range(200)]
    quiet = [Said(f"m{number}.md", f"What {number} says of it. " * 5) for number in range(4)]
    shown = statements_of(noise + quiet)
    assert {each.document_id for each in shown} == {loud, *(each.document_id for each in quiet)}
    assert {each.text for each in shown} >= {each.text for each in quiet}
    assert len(description_of(noise + quiet)) <= MAX_DESCRIPTION_CHARACTERS


def test_who_repeats_what_others_say_does_not_take_their_share() -> None:
    quiet = [Said(f"m{number}.md", f"What {number} says of it. " * 5) for number in range(4)]
    noise = [Said("a-loud.md", f"{number:03} noise ".ljust(300, "!")) for number in range(200)]
    copies = [Said("a-loud.md", each.text) for each in quiet]
    assert {each.text for each in statements_of(noise + copies + quiet)} >= {each.text for each in quiet}


def test_long_texts_are_cut_to_what_the_short_ones_leave() -> None:
    said = [Said("a", "a" * 1000), Said("b", "b" * 1000), Said("c", "c" * 100)]
    lengths = {each.document_id: len(each.text) for each in statements_of(said)}
    assert lengths == {"a": 949, "b": 949, "c": 100}
    assert len(description_of(said)) == MAX_DESCRIPTION_CHARACTERS
    assert description_of(said).startswith("a" * 948 + "…")


@given(SAID, st.randoms(use_true_random=False))
def test_order_is_no_matter_and_the_cap_holds(said: list[Said], chance: random.Random) -> None:
    shuffled = list(said)
    chance.shuffle(shuffled)
    assert description_of(shuffled) == description_of(said)
    assert len(description_of(said)) <= MAX_DESCRIPTION_CHARACTERS
    if sum(len(text) + 1 for text in {each.text for each in said}) <= MAX_DESCRIPTION_CHARACTERS:
        assert {each.whole for each in statements_of(said)} == {each.text for each in said}
