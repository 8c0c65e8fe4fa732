"""A passage, an answer about it as LightRAG asks for it, and the evidence in that answer."""

import json
from typing import Any

from aegis_dagster.domain.evidence import ChunkEvidence, Mention, RelationEvidence
from aegis_dagster.domain.llm import AskedFor, Classification, Quality
from aegis_dagster.domain.stages import Stage
from aegis_dagster.extraction.by_model import ModelExtractor
from aegis_dagster.ports import Extraction
from aegis_dagster_tests.support.gateways import Says, ScriptedGateway, Step

TEXT = "Ada Lovelace wrote the first program for Charles Babbage's Analytical Engine. SECRET-WORD"
ASKED_FOR = AskedFor("papers", "papers/engine.pdf", Stage.GRAPH)
IDENTITY = "lightrag-1.5.7-1"

ADA = {"name": "Ada Lovelace", "type": "Person", "description": "Ada Lovelace wrote the first program."}
ENGINE = {"name": "Analytical Engine", "type": "Artifact", "description": "A machine of Charles Babbage."}
WROTE = {
    "source": "Ada Lovelace",
    "target": "Analytical Engine",
    "keywords": "programming, invention",
    "description": "Ada Lovelace wrote a program for it.",
}
FOUND = ChunkEvidence(
    (
        Mention("Ada Lovelace", "person", "Ada Lovelace wrote the first program."),
        Mention("Analytical Engine", "artifact", "A machine of Charles Babbage."),
    ),
    (
        RelationEvidence(
            "Ada Lovelace",
            "Analytical Engine",
            "programming, invention",
            "Ada Lovelace wrote a program for it.",
            1.0,
        ),
    ),
)
NOTHING = ChunkEvidence()


def answer(entities: Any = (ADA, ENGINE), relationships: Any = (WROTE,)) -> str:
    """An answer as LightRAG asks for it."""
    return json.dumps({"entities": entities, "relationships": relationships}, indent=1, ensure_ascii=False)


GOOD = Says(answer())


def extractor(gateway: ScriptedGateway, **values: Any) -> ModelExtractor:
    given = {"classification": Classification.INTERNAL, "quality": Quality.STANDARD, "max_tokens": 2048, **values}
    return ModelExtractor(gateway, **given)


async def extracted(*script: Step, text: str = TEXT) -> tuple[Extraction, ScriptedGateway]:
    gateway = ScriptedGateway(script)
    return await extractor(gateway).extract(text, ASKED_FOR), gateway


async def evidence_in(content: str, finish_reason: str = "stop") -> ChunkEvidence:
    """What is read from one answer; there is no second one."""
    extraction, _ = await extracted(Says(content, finish_reason))
    return extraction.evidence
