"""Terms and their weights."""

import subprocess
import sys

import pytest

from aegis_dagster.stores.vectors.bm25 import SparseTerms, passage_terms, question_terms


def weight_of(word: str, passage: str) -> float:
    """The weight that a passage gives to a question of one term; 0 where it does not have it."""
    (index,) = question_terms(word).indices
    terms = passage_terms(passage)
    return dict(zip(terms.indices, terms.values, strict=True)).get(index, 0.0)


def shared(question: str, passage: str) -> int:
    """How many terms of the question the passage has."""
    return len(set(question_terms(question).indices) & set(passage_terms(passage).indices))


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("inspection of turbines", "The turbine was inspected."),
        ("TURBINE", "turbines"),
        ("__init__", "Call `__init__()` first."),
        ("asyncio.run", "use asyncio.run(main())"),
        ("asyncio", "use asyncio.run(main())"),
        ("PEP 484", "see :pep:`484`"),
        ("PEP 8", "pep-0008.txt"),
        ("pep-0484", "PEP-0484 says"),
        ("type var tuple", "class TypeVarTuple:"),
        ("typing extensions", "from typing_extensions import Self"),
        ("HTTPServer", "an HTTPServer instance"),
        ("3.12", "New in version 3.12"),
        ("Straßen", "die straßen der Stadt"),
        ("日本語", "日本語 テキスト"),
    ],
)
def test_a_question_meets_its_passage(question: str, passage: str) -> None:
    assert shared(question, passage) == len(question_terms(question).indices) > 0 or (
        shared(question, passage) > 0 and "-" in question
    )


@pytest.mark.parametrize(
    ("question", "passage"),
    [("__init__", "an initial value"), ("3.12", "3.13"), ("run", "asyncio.gather"), ("what is it", "what it is")],
)
def test_a_question_misses_a_passage_of_other_terms(question: str, passage: str) -> None:
    assert shared(question, passage) < max(1, len(question_terms(question).indices))


def test_a_passage_weighs_a_term_more_the_more_often_and_the_shorter_it_is() -> None:
    once = weight_of("bearing", "bearing worn in the old turbine")
    twice = weight_of("bearing", "bearing worn in the old bearing turbine")
    diluted = weight_of("bearing", "bearing worn in the old turbine " + "beside other machinery " * 40)
    assert twice > once > diluted > 0
    assert weight_of("bearing", "bearing " * 1000) < 2.2  # K1 + 1: repetition saturates


def test_a_question_weighs_its_terms_alike() -> None:
    assert set(question_terms("worn bearing of the worn turbine").values) == {1.0}


def test_indices_ascend_and_are_unique_32_bit_numbers() -> None:
    terms = passage_terms("Zulu yankee x-ray whiskey victor uniform tango sierra romeo quebec papa tango")
    assert list(terms.indices) == sorted(set(terms.indices))
    assert all(0 <= index < 2**32 for index in terms.indices)
    assert len(terms.indices) == len(terms.values)


@pytest.mark.parametrize("text", ["", "   ", "...!?", "what is it", "\ud800"])
def test_a_text_without_terms_has_an_empty_vector(text: str) -> None:
    assert passage_terms(text) == question_terms(text) == SparseTerms((), ())


def test_weights_are_the_same_in_every_process() -> None:
    text = "The __init__ of asyncio.run in PEP 484: Straßen, 3.12"
    program = f"from aegis_dagster.stores.vectors.bm25 import passage_terms; print(passage_terms({text!r}))"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert done.stdout.strip() == repr(passage_terms(text))
