"""The splitter alone: where it cuts and what it keeps."""

from aegis_dagster.chunking.splitting import TextSplitter
from aegis_dagster_tests.support.chunked_documents import token_counter


def split(text: str, budget: int) -> list[str]:
    return TextSplitter(token_counter()).split(text, budget)


def test_a_text_that_fits_stays_whole() -> None:
    assert split("One line.\nAnother line.", 20) == ["One line.\nAnother line."]


def test_lines_are_a_better_place_to_cut_than_sentences() -> None:
    assert split("One. Two three\nfour five. Six", 7) == ["One. Two three", "four five. Six"]


def test_sentences_are_a_better_place_to_cut_than_words() -> None:
    assert split("One two three. Four five six.", 5) == ["One two three.", "Four five six."]


def test_the_indentation_of_code_is_kept() -> None:
    assert split("def f():\n    return 1\n\n    # done", 5) == ["def f():", "    return 1\n\n    # done"]


def test_a_header_longer_than_half_the_budget_is_not_repeated() -> None:
    header = "| " + " | ".join("abcdefgh") + " |\n|" + " - |" * 8 + "\n"
    pieces = split(header + "| 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 |\n" * 2, 40)
    assert sum("abcdefgh"[0] in piece for piece in pieces) == 1
    assert sum(piece.count("| 8 |") for piece in pieces) == 2


def test_text_around_a_table_stays_around_it() -> None:
    table = "| A | B |\n| - | - |\n" + "| one | two |\n" * 4
    pieces = split(f"A caption\n\n{table}\nA note", 24)
    assert pieces[0] == "A caption"
    assert pieces[-1] == "A note"
    assert all(piece.startswith("| A | B |") for piece in pieces[1:-1])
    assert sum(piece.count("| one | two |") for piece in pieces) == 4


def test_a_table_of_nothing_but_a_header_is_kept() -> None:
    assert split("Before\n| A | B |\n| - | - |", 6) == ["Before", "| A | B |", "| - | - |"]


def test_a_word_too_long_for_the_tokenizer_costs_what_its_length_is_worth() -> None:
    counter = token_counter()
    assert counter.count("0" * 1600) == 1  # the unknown token
    assert counter.cost("0" * 1600) == 101
    assert counter.cost("short words cost what they count") == counter.count("short words cost what they count")
