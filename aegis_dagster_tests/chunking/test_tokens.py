"""Tokens are counted as the tokenizer counts them, each word once."""

import sys
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from aegis_dagster.chunking.tokens import TokenCounter, load_tokenizer
from aegis_dagster_tests.support.chunked_documents import token_counter, tokenizer_file

_PARTS = ["a", "Ünder", "e\u0301", "中", "_", "'", "[CLS]", "[UNK", "]", " ", "\n", "\u00a0", "\u200b", "\x00", "\xad"]
_PARTS += ["…", "7", "🙂", "-", "x" * 101, "https://a.b/c?d=e", *(chr(code) for code in range(9, 33))]


class CountedTokenizer:
    """A tokenizer that notes what it is asked."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.asked: list[str] = []
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, *, add_special_tokens: bool) -> Any:
        """The tokens of a text."""
        self.asked.append(text)
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)


@settings(max_examples=300)
@given(st.lists(st.sampled_from(_PARTS) | st.characters(exclude_categories=["Cs"]), max_size=10).map("".join))
@example("a\x85b a\u2028b a\x1fb")
def test_the_count_of_any_text_is_the_tokenizers(text: str) -> None:
    encoding = load_tokenizer(tokenizer_file()).encode(text, add_special_tokens=False)
    counter = token_counter()
    assert counter.count(text) == len(encoding.ids)
    long_words = sum((end - start) // 16 for start, end in encoding.offsets if end - start > 100)
    assert counter.cost(text) == len(encoding.ids) + long_words


def test_every_kind_of_white_space_counts_as_the_tokenizer_counts_it() -> None:
    tokenizer, counter = load_tokenizer(tokenizer_file()), token_counter()
    for space in (character for character in map(chr, range(sys.maxunicode)) if character.isspace()):
        text = f"un{space}believable"
        assert counter.count(text) == len(tokenizer.encode(text, add_special_tokens=False).ids), repr(space)


def test_a_tokenizer_is_asked_once_about_each_word_that_it_does_not_know_whole() -> None:
    tokenizer = CountedTokenizer(load_tokenizer(tokenizer_file()))
    texts = ("Check the Gearboxes, check (the) crankshaft.", "The crankshaft\nof gearboxes", "Check THE oil")
    for _ in range(2):  # two documents
        counter = TokenCounter(cast(Tokenizer, tokenizer))
        for text in texts:
            assert counter.count(text) == counter.cost(text) >= 3
        assert counter.cost_of_lines(texts) == counter.cost("\n".join(texts)) == sum(map(counter.cost, texts))
    assert sorted(tokenizer.asked) == ["Gearboxes", "crankshaft", "gearboxes"]


def test_words_of_the_length_of_passages_are_not_kept_for_other_documents() -> None:
    tokenizer = CountedTokenizer(load_tokenizer(tokenizer_file()))
    longest, longer = "q" * 100, "q" * 101
    for _ in range(2):  # two documents
        counter = TokenCounter(cast(Tokenizer, tokenizer))
        assert [counter.count(longest), counter.count(longer)] == [100, 1]
    assert [tokenizer.asked.count(longest), tokenizer.asked.count(longer)] == [1, 4]  # and where it is long


@pytest.mark.parametrize("text", ["two words", " two", "a\nb", "ab"])
def test_a_tokenizer_that_looks_across_words_is_asked_about_whole_texts(text: str) -> None:
    whole = Tokenizer(
        models.BPE({**{letter: number for number, letter in enumerate(" \nabdeorstw")}, "o ": 11}, [("o", " ")])
    )
    whole.pre_tokenizer = pre_tokenizers.Split("#", "isolated")
    counted = CountedTokenizer(whole)
    counter = TokenCounter(cast(Tokenizer, counted))
    assert [counter.count(text), counter.cost(text)] == [len(whole.encode(text).ids)] * 2
    assert counted.asked == [text]
    assert counter.cost_of_lines([text, "a"]) == len(whole.encode(f"{text}\na").ids)
