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
        # Letters: case, compatible forms, what nobody sees
        ("STRASSENBELEUCHTUNG", "die Straßenbeleuchtung"),
        ("Maße", "MASSE"),
        ("ÜBERPRÜFUNG", "die Überprüfung"),
        ("Pru\u0308fer", "der Prüfer"),
        ("efficient workflow", "the eﬃcient workﬂow"),
        ("ABC-1234", "型番はＡＢＣ－１２３４である"),
        ("Kündigungsfrist", "Kün\u00addi\u00adgungs\u00adfrist"),
        ("MAX_RETRY_COUNT", "MAX\u200b_RETRY\u200b_COUNT"),
        ("AX-7731-Z", "Valve AX\u20117731\u2011Z"),
        ("istanbul", "İstanbul"),
        ("IĞDIR", "Iğdır"),
        ("ΑΘΗΝΑΣ", "της Αθήνας"),
        ("ёлка", "Елка"),
        ("манометров", "Манометры"),
        ("ضغط", "مقياس الضغط"),
        ("كتاب", "كِتَاب"),
        ("שלום", "שָׁלוֹם"),
        ("हिन्दी", "हिन्दी में"),
        ("४७", "पृष्ठ 47"),
        # Scripts without spaces: any two neighbours, or one ideograph
        ("校正", "圧力計の校正は毎月行う"),
        ("泵", "水泵每年大修一次"),
        ("압력계", "압력계는 매월"),
        ("ความดัน", "ตรวจสอบเครื่องวัดความดันทุกเดือน"),
        ("ｶﾀｶﾅ", "カタカナ"),
        # Compounds that other languages write as one word: by their first and their last word
        ("Kündigungsfrist", "Die Kündigungsfristverlängerung gilt."),
        ("Beleuchtung", "Die Straßenbeleuchtung wird geprüft."),
        # Identifiers
        ("4111111111111111", "card 4111 1111 1111 1111"),
        ("2.10.3", "release v2.10.3-rc1"),
        ("C++", "written in C++ and C#"),
        ("C#", "written in C++ and C#"),
        ("000123", "Ticket 000123"),
        ("123", "Ticket 000123"),
        # Nothing but function words: they may be names
        ("who", "The WHO reports"),
        ("to be or not to be", "To be, or not to be: that is"),
    ],
)
def test_a_question_meets_its_passage(question: str, passage: str) -> None:
    assert shared(question, passage) == len(question_terms(question).indices) > 0 or (
        shared(question, passage) > 0 and "-" in question
    )


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("__init__", "an initial value"),
        ("3.12", "3.13"),
        ("run", "asyncio.gather"),
        ("C++", "in C"),
        ("000123", "Ticket 124"),
        ("校正", "正校"),
        ("formation", "The information of the state, and its use."),  # English writes compounds apart
        ("who is where", "The WHO reports"),
        ("what pump", "what it is"),  # function words count only in a question of nothing else
    ],
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


@pytest.mark.parametrize("text", ["", "   ", "...!?", "\u200b\u00ad", "\ud800"])
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


def test_a_number_is_found_with_or_without_the_spaces_it_is_printed_with() -> None:
    printed, typed = "to DE89 3704 0044 0532 0130 00 with", "DE89370400440532013000"
    assert shared(typed, printed) > shared(typed, "to DE89 3704 0044 0532 0130 01 with")
    assert shared(printed, typed) > 0


def test_the_exact_number_is_worth_more_than_the_one_without_its_zeros() -> None:
    assert shared("000123", "Ticket 000123") > shared("000123", "Ticket 123") > 0


def test_what_only_helps_to_find_a_word_makes_no_passage_longer() -> None:
    assert weight_of("pump", "pump of the and in or to be") == weight_of("pump", "pump")


@pytest.mark.parametrize(
    "text",
    [
        "C++, C# and f#_# meet a.b-c.d, a..b, -x- and __init__.",
        "pep-0484 v2.10.3-rc1 HTTPServer camelCase 0x1F 1_000 x+++ ##",
        "GB29 NWBK 6016 1331 9268 19; 030 1234 5678; 1 000 000",
        "".join(map(chr, range(128))),
    ],
)
def test_plain_text_has_the_same_terms_beside_other_letters(text: str) -> None:
    beside = question_terms("é").indices
    assert set(question_terms(f"{text} é").indices) == set(question_terms(text).indices) | set(beside)


def test_an_endless_word_costs_no_more_than_its_length() -> None:
    assert len(passage_terms("ж" * 100_000).indices) == 1
    assert len(passage_terms("a\u0301" * 50_000).indices) == 1
