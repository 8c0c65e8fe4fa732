"""Re-DocRED as chunks with gold evidence, and an extractor that answers with it.

A document becomes two chunks of whole sentences. A chunk mentions the entities that stand in its sentences,
and holds those gold triples whose both ends it mentions.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aegis_dagster.domain.evidence import ChunkEvidence, DocumentEvidence, Mention, RelationEvidence
from aegis_dagster.domain.identifiers import ChunkId, DocumentId, chunk_id, text_hash
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.ports import Extraction
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.places import CORPORA


def require(path: Path) -> Path:
    """The path; without it the test is skipped, in CI it fails."""
    if not path.exists():
        message = f"{path} is not there: this test needs the shared corpora beside the project."
        missing(message)
    return path


@dataclass(frozen=True, slots=True)
class GoldDocument:
    """One document of the corpus."""

    document_id: DocumentId
    texts: tuple[str, ...]  # of its chunks


class ScriptedExtractor:
    """Answers with the gold evidence of the texts it knows, and with nothing else."""

    name = "redocred-gold-1"
    accepted = (name,)

    def __init__(self, answers: dict[str, ChunkEvidence]) -> None:
        self._answers = answers

    async def extract(self, text: str, asked_for: AskedFor) -> Extraction:
        """The gold evidence. Raises KeyError for a text that is not in the script."""
        return Extraction(self._answers[text], self.name)


@cache
def corpus() -> tuple[tuple[GoldDocument, ...], ScriptedExtractor]:
    """All 500 documents, and the extractor that knows their texts."""
    path = require(CORPORA / "redocred" / "dev_revised.json")
    answers: dict[str, ChunkEvidence] = {}
    documents = []
    for number, entry in enumerate(json.loads(path.read_text("utf-8"))):
        half = (len(entry["sents"]) + 1) // 2
        texts = []
        for sentences in (range(half), range(half, len(entry["sents"]))):
            words = [" ".join(entry["sents"][sentence]) for sentence in sentences]
            text = f"{entry['title']} {number}\n{' '.join(words)}"  # the number keeps equal texts apart
            answers[text] = _gold(entry, set(sentences))
            texts.append(text)
        documents.append(GoldDocument(DocumentId(f"redocred/{number:03}.txt"), tuple(texts)))
    return tuple(documents), ScriptedExtractor(answers)


async def evidence_of(document: GoldDocument, keep: int = 1) -> DocumentEvidence:
    """What the extractor finds in the document; `keep`=2: every second triple only, as after an edit."""
    _, extractor = corpus()
    chunks: list[tuple[ChunkId, ChunkEvidence]] = []
    for text in document.texts:
        found = (await extractor.extract(text, AskedFor())).evidence
        edited = ChunkEvidence(found.mentions[::keep], _joinable(found, keep))
        chunks.append((chunk_id(document.document_id, text_hash(text), 0), edited))
    return DocumentEvidence(document.document_id, f"fingerprint-{keep}", chunks)


def _joinable(found: ChunkEvidence, keep: int) -> tuple[RelationEvidence, ...]:
    kept = {mention.name for mention in found.mentions[::keep]}
    return tuple(relation for relation in found.relations if {relation.source, relation.target} <= kept)


def _gold(entry: dict[str, Any], sentences: set[int]) -> ChunkEvidence:
    names: dict[int, str] = {}
    mentions = []
    for number, vertex in enumerate(entry["vertexSet"]):
        here = [mention for mention in vertex if mention["sent_id"] in sentences]
        if here:
            names[number] = here[0]["name"]
            mentions.append(Mention(here[0]["name"], here[0]["type"], f"{here[0]['name']} in {entry['title']}"))
    return ChunkEvidence(tuple(mentions), tuple(_triples(entry["labels"], names)))


def _triples(labels: Iterable[dict[str, Any]], names: dict[int, str]) -> Iterable[RelationEvidence]:
    for label in labels:
        if label["h"] in names and label["t"] in names:
            source, target = names[label["h"]], names[label["t"]]
            sentence = f"{source} {label['r']} {target}"
            yield RelationEvidence(source, target, label["r"], sentence, 1 + len(label["evidence"]) / 3)
