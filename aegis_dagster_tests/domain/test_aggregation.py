"""The rules that turn evidence into one form, and groups of evidence into entities and relations."""

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.domain.aggregation import (
    MAX_NAME_CHARACTERS,
    MentionGroup,
    RelationGroup,
    aggregate_entity,
    aggregate_relation,
    canonical_evidence,
    entity_key,
    relation_key,
    split_relation_key,
)
from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Guido  van\n Rossum", "guido van rossum"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ＧＩＬ", "gil"),
        ("ﬁle", "file"),
        ("Zürich", "zürich"),
        ("soft\u00adware", "software"),
        ("nul\x00l", "null"),
        (" \t ", ""),
    ],
)
def test_names_that_people_read_as_equal_have_one_key(name: str, key: str) -> None:
    assert entity_key(name) == key


@given(st.text())
def test_a_key_is_its_own_key_and_fits_the_database(name: str) -> None:
    key = entity_key(name)

    assert entity_key(key) == key
    assert len(key) <= MAX_NAME_CHARACTERS
    assert key.encode("utf-8") is not None
    assert "\x00" not in key


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_pair_of_keys_comes_out_of_its_relation_key(source: str, target: str) -> None:
    pair = entity_key(source), entity_key(target)

    assert split_relation_key(relation_key(*pair)) == pair


def test_a_chunk_mentions_an_entity_once_under_its_first_name_with_all_it_says() -> None:
    evidence = ChunkEvidence(
        (Mention("GIL", "acronym", "a lock"), Mention("gil", "phrase", "it is global"), Mention("Gil", "x", "a lock"))
    )

    (record,) = canonical_evidence(evidence).mentions

    assert (record.key, record.name, record.type) == ("gil", "GIL", "acronym")
    assert record.description == "a lock\nit is global"


def test_relations_of_one_pair_in_a_chunk_become_one_and_their_weights_add_up() -> None:
    evidence = ChunkEvidence(
        (Mention("A1", "x"), Mention("B1", "x")),
        (
            RelationEvidence("A1", "B1", "born in", "first", 0.1),
            RelationEvidence("a1", "b1", "died in, born in", "second", 0.2),
            RelationEvidence("B1", "A1", "birthplace", "", 1.0),
        ),
    )

    there, back = canonical_evidence(evidence).relations

    assert (there.keywords, there.description, there.weight_milli) == ("born in, died in", "first\nsecond", 300)
    assert (back.source_key, back.target_key, back.weight_milli) == ("b1", "a1", 1000)


def test_an_end_that_is_not_mentioned_becomes_a_mention_and_a_loop_is_left_out() -> None:
    evidence = ChunkEvidence((Mention("A1", "x"),), (RelationEvidence("A1", "B1"), RelationEvidence("a1", "A1")))

    found = canonical_evidence(evidence)

    assert [(one.key, one.type) for one in found.mentions] == [("a1", "x"), ("b1", "unknown")]
    assert [(one.source_key, one.target_key) for one in found.relations] == [("a1", "b1")]


@pytest.mark.parametrize("weight", [math.nan, math.inf, -math.inf, 0.0, -3.0])
def test_a_weight_that_is_no_positive_number_counts_as_one(weight: float) -> None:
    (record,) = canonical_evidence(ChunkEvidence((), (RelationEvidence("A1", "B1", weight=weight),))).relations

    assert record.weight_milli == 1000


def test_what_is_said_most_often_wins_and_a_tie_goes_to_the_smaller_text() -> None:
    groups = [
        MentionGroup("Gil", "person", 2, 1),
        MentionGroup("GIL", "acronym", 1, 2),
        MentionGroup("GIL", "thing", 1, 4),
    ]

    for order in permutations(groups):
        entity = aggregate_entity("gil", order, [], 3)
        assert (entity.name, entity.type) == ("GIL", "person")
        assert (entity.chunk_count, entity.document_count, entity.sources) == (4, 3, 7)


def test_keywords_of_a_relation_are_distinct_the_most_frequent_first() -> None:
    groups = [
        RelationGroup("employer, founder", 1, 0, 500),
        RelationGroup("founder", 2, 0, 2_000),
        RelationGroup("ally", 1, 0, 1),
    ]

    for order in permutations(groups):
        relation = aggregate_relation(relation_key("a", "b"), order, [], 3)
        assert (relation.keywords, relation.weight_milli) == ("founder, ally, employer", 2_501)


def test_the_same_words_from_another_chunk_are_another_content() -> None:
    """A view that shows where an entity comes from must hear of it."""
    here, there = (aggregate_entity("x", [MentionGroup("X", "x", 1, mark)], [], 1) for mark in (1, 2))

    assert here.content_hash() != there.content_hash()
