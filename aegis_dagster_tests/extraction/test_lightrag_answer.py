"""What is read from answers of every kind."""

import json
import logging
from typing import Any

import pytest

from aegis_dagster.domain.aggregation import canonical_evidence
from aegis_dagster.domain.evidence import ChunkEvidence, Mention
from aegis_dagster.errors import DocumentError
from aegis_dagster.extraction.lightrag_answer import Read, Unreadable, read_answer
from aegis_dagster.ports import Extraction
from aegis_dagster_tests.support.extraction_models import (
    ADA,
    ENGINE,
    FOUND,
    IDENTITY,
    NOTHING,
    WROTE,
    answer,
    evidence_in,
    extracted,
)
from aegis_dagster_tests.support.gateways import Says


@pytest.mark.parametrize(
    "content", [answer([], []), '{"entities": []}', '```json\n{"entities":[],"relationships":[]}```']
)
async def test_no_entities_is_a_good_answer(content: str) -> None:
    assert await evidence_in(content) == NOTHING


REPAIRED = {
    "fenced": f"```json\n{answer()}\n```",
    "with a preface": f"Here is the graph:\n{answer()}\nI hope it helps {{you}}.",
    "behind thinking": f'<think>{{"entities": [1]}}</think>{answer()}',
    "with thinking whose begin is missing": f"Let me see.</think>{answer()}",
    "a comma too many": answer().replace("}\n ]", "},\n ]"),
    "single quotes": str({"entities": [ADA, ENGINE], "relationships": [WROTE]}),
    "with an unknown field": json.dumps({"note": "x", "entities": [ADA, ENGINE], "relationships": [WROTE]}),
}


@pytest.mark.parametrize("content", REPAIRED.values(), ids=REPAIRED.keys())
async def test_an_answer_that_can_be_repaired_is_not_asked_for_again(content: str) -> None:
    assert await evidence_in(content) == FOUND


@pytest.mark.parametrize(
    ("kept", "relations"),
    [(answer()[: answer().index("A machine") + 5], ()), (answer()[:-30], ())],
    ids=["entity", "relation"],
)
@pytest.mark.parametrize("reason", ["length", "stop"])
async def test_of_an_answer_that_was_cut_off_its_last_record_is_left_out(
    kept: str, relations: tuple[Any, ...], reason: str
) -> None:
    extraction, _ = await extracted(Says(kept, reason), Says(kept, reason))
    assert extraction.cut
    found = extraction.evidence
    whole = 1 if "relationships" not in kept else 2
    assert found == ChunkEvidence(FOUND.mentions[:whole], relations)


ENDS_EARLY = {
    "within a text": answer()[:-30],
    "after a record": answer().rstrip("}\n ]") + "}",
    "before the last brace": answer().rstrip("}\n"),
    "within a fence": f"```json\n{answer()[:-40]}",
    "behind thinking": f"<think>hm</think>{answer()[:-40]}",
}


@pytest.mark.parametrize("content", ENDS_EARLY.values(), ids=ENDS_EARLY.keys())
async def test_json_that_ends_early_was_cut_whatever_its_provider_says(content: str) -> None:
    extraction, _ = await extracted(Says(content, "stop"), Says(answer()))
    assert extraction == Extraction(FOUND, f"{IDENTITY}/house/small")
    assert isinstance(await read_answer(content, cut=False), Read)
    assert (await read_answer(content, cut=False)).cut


async def test_reasoning_without_an_end_was_cut_whatever_its_provider_says() -> None:
    read = [await read_answer(content, cut=False) for content in ("<think>On and on", "<think>Done.</think>", "")]
    assert [(isinstance(one, Unreadable), one.cut) for one in read] == [(True, True), (True, False), (True, False)]


async def test_tags_within_a_text_are_a_part_of_it() -> None:
    told = {**ADA, "description": "She wrote <think> and </think> around her thoughts.</think>Then more."}
    extraction, _ = await extracted(Says(answer([told], [])))
    (mention,) = extraction.evidence.mentions
    assert mention.description == told["description"]


async def test_records_that_are_not_whole_cost_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    broken = [{"name": "", "type": "Person", "description": "x"}, {"name": "SECRET", "type": "Person"}, "Ada", None, 7]
    found = await evidence_in(answer([*broken, ADA, ENGINE], [{"source": "Ada Lovelace"}, WROTE, 3]))
    assert found == FOUND
    assert [record.getMessage() for record in caplog.records] == [
        "Call call-1: 7 records of house/small are not whole."
    ]


async def test_what_only_a_relation_names_is_mentioned_too() -> None:
    found = await evidence_in(answer([ADA], [WROTE]))
    unknown = Mention("Analytical Engine", "unknown", "Ada Lovelace wrote a program for it.")
    assert found == ChunkEvidence((FOUND.mentions[0], unknown), FOUND.relations)


async def test_an_entity_is_not_related_to_itself() -> None:
    itself = {**WROTE, "target": "ada  lovelace"}
    assert await evidence_in(answer(relationships=[itself, {**WROTE, "target": "Ada Lovelace"}])) == ChunkEvidence(
        FOUND.mentions
    )


async def test_names_are_collapsed_bounded_and_types_lower_case() -> None:
    long = "N" * 300
    entities = [
        {"name": " Ada\n  Lovelace ", "type": "PERSON", "description": "x"},
        {"name": long, "type": "Natural Object, Thing", "description": "y"},
        {"name": "AT&amp;T \ud800\x07", "type": "Organization", "description": "z"},
    ]
    found = await evidence_in(json.dumps({"entities": entities, "relationships": []}))
    assert found.mentions == (
        Mention("Ada Lovelace", "person", "x"),
        Mention("N" * 256, "naturalobject", "y"),
        Mention("AT&T", "organization", "z"),
    )


async def test_a_bounded_name_is_the_same_in_relations() -> None:
    long = "Ada " + "N" * 300
    relation = {**WROTE, "source": long}
    found = await evidence_in(answer([{**ADA, "name": long}, ENGINE], [relation]))
    assert found.relations[0].source == found.mentions[0].name == long[:256]
    assert len(canonical_evidence(found).mentions) == 2


async def test_chinese_names_are_bounded_by_lightrags_bytes() -> None:
    (mention,) = (await evidence_in(answer([{**ADA, "name": "图" * 300}], []))).mentions
    assert mention.name == "图" * 170  # 512 bytes


ENDLESS = {
    "objects": '{"entities": [' * 20_000,
    "arrays": "[" * 200_000,
    "quotes": '{"a":"' * 40_000,
    "a name": '{"entities": [{"name": "' + "x\\" * 150_000,
    "thinking": "<think>" * 40_000,
    "thinking that ends": "</think>" * 40_000,
    "markup": '{"entities": [{"name": "' + "<p" * 150_000,
}


@pytest.mark.parametrize("endless", ENDLESS.values(), ids=ENDLESS.keys())
async def test_an_answer_without_end_is_given_up(endless: str) -> None:
    with pytest.raises(DocumentError):
        await extracted(Says(endless * 4), Says(""))  # what looks at it again from every place takes hours
