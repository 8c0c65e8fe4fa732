"""Describing, extracting and embedding end to end: the real gateway and ledger, a scripted server over HTTP."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from aegis_dagster.domain.evidence import Mention, RelationEvidence
from aegis_dagster.domain.llm import AskedFor, Classification, Quality
from aegis_dagster.domain.stages import Stage
from aegis_dagster.embedding.by_provider import ProviderEmbedder
from aegis_dagster.errors import BudgetExhausted
from aegis_dagster.extraction.by_model import ModelExtractor
from aegis_dagster.pictures.vision import VisionDescriber
from aegis_dagster.ports import PictureDescription
from aegis_dagster_tests.support.asking import CACHED, INPUT, OUTPUT, REASONING, Desk, desk, provider
from aegis_dagster_tests.support.llm_server import Behaviour, Kind, LLMServer, Rule, vector

DESCRIBED = "A drawing of a dark blue ellipse on a white ground."


class Ocr:
    """Finds the same text in every picture."""

    name = "ocr/test"
    accepted: tuple[str, ...] = (name,)

    async def describe(self, picture: Path, asked_for: AskedFor) -> PictureDescription:
        return PictureDescription("text in the picture", self.name)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    drawn = Image.new("RGB", (1500, 500), "white")
    ImageDraw.Draw(drawn).ellipse((300, 100, 700, 400), fill="navy")
    drawn.save(tmp_path / "secret.png")
    return tmp_path / "secret.png"


def cost_of(server: LLMServer) -> int:
    """What the server's own count of tokens costs, in nano-USD."""
    tokens = server.counts()["billed"]
    cost: int = (
        (tokens["input"] - tokens["cached"]) * INPUT
        + tokens["cached"] * CACHED
        + (tokens["output"] - tokens["reasoning"]) * OUTPUT
        + tokens["reasoning"] * REASONING
    )
    return cost


def spent(at: Desk) -> int:
    """The sum of the ledger's rows, in nano-USD."""
    return sum(row["cost_nanousd"] for row in at.rows())


def vision(at: Desk) -> VisionDescriber:
    return VisionDescriber(
        at.gateway,
        Ocr(),
        classification=Classification.INTERNAL,
        quality=Quality.STANDARD,
        max_side_pixels=300,
        max_tokens=100,
    )


async def test_a_picture_is_described_and_paid(server: LLMServer, picture: Path, tmp_path: Path) -> None:
    server.script([Behaviour(text=DESCRIBED)])
    at = desk(tmp_path, [provider("cloud", server.v1)])
    seen = await vision(at).describe(picture, AskedFor("papers", "a.pdf", Stage.ENRICH))
    await at.gateway.aclose()
    await at.ledger.aclose()

    assert seen == PictureDescription(DESCRIBED, "vision-1/cloud/cloud-model")
    (record,) = server.records()
    content = record.body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]
    assert content[1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert "secret" not in str(record.body)
    (row,) = at.rows()
    assert (row["task_type"], row["stage"], row["collection"], row["document_id"]) == (
        "image_description",
        "enrich",
        "papers",
        "a.pdf",
    )
    assert spent(at) == cost_of(server) > 0


async def test_a_refused_picture_gets_the_text_in_it(server: LLMServer, picture: Path, tmp_path: Path) -> None:
    server.script([Behaviour(Kind.REFUSED)])
    at = desk(tmp_path, [provider("cloud", server.v1)])
    seen = await vision(at).describe(picture, AskedFor())
    await at.gateway.aclose()
    await at.ledger.aclose()
    assert seen == PictureDescription("text in the picture", "ocr/test", fallback="content_refused")
    assert spent(at) == 0


async def test_two_answers_that_are_none_are_paid_and_ocr_stands_in(
    server: LLMServer, picture: Path, tmp_path: Path
) -> None:
    server.script([Rule(Behaviour(text="I'm sorry, I cannot see the image."))])
    at = desk(tmp_path, [provider("cloud", server.v1)])
    seen = await vision(at).describe(picture, AskedFor())
    await at.gateway.aclose()
    await at.ledger.aclose()
    assert seen == PictureDescription("text in the picture", "ocr/test", fallback="bad_answer")
    assert len(at.rows()) == len(server.records()) == 2
    assert spent(at) == cost_of(server) > 0


async def test_a_picture_waits_when_there_is_no_money(server: LLMServer, picture: Path, tmp_path: Path) -> None:
    at = desk(tmp_path, [provider("cloud", server.v1)], limits={"cloud": 10})
    with pytest.raises(BudgetExhausted):
        await vision(at).describe(picture, AskedFor())
    await at.gateway.aclose()
    await at.ledger.aclose()
    assert server.records() == []


async def test_a_passage_is_read_and_paid_after_one_bad_answer(server: LLMServer, tmp_path: Path) -> None:
    server.script([Behaviour(text='{"entities": [{"na'), Rule()])
    at = desk(tmp_path, [provider("cloud", server.v1)])
    extractor = ModelExtractor(
        at.gateway, classification=Classification.INTERNAL, quality=Quality.STANDARD, max_tokens=500
    )
    found = await extractor.extract("then Ada Lovelace met Charles Babbage.", AskedFor("papers", "a.pdf", Stage.GRAPH))
    await at.gateway.aclose()
    await at.ledger.aclose()

    assert found.extracted_by == "lightrag-1.5.7-1/cloud/cloud-model"
    assert found.evidence.mentions == (
        Mention("Ada Lovelace", "other", "Ada Lovelace is named here."),
        Mention("Charles Babbage", "other", "Charles Babbage is named here."),
    )
    assert found.evidence.relations == (
        RelationEvidence(
            "Ada Lovelace", "Charles Babbage", "named together", "Ada Lovelace with Charles Babbage.", 1.0
        ),
    )
    assert [record.body["response_format"] for record in server.records()] == [{"type": "json_object"}] * 2
    assert spent(at) == cost_of(server) > 0


async def test_texts_are_embedded_and_paid(server: LLMServer, tmp_path: Path) -> None:
    at = desk(tmp_path, [provider("cloud", server.v1)])
    embedder = ProviderEmbedder(at.gateway, "cloud", "cloud-model", dimensions=8, max_tokens=100, texts_per_call=3)
    texts = [f"text number {number}" for number in range(7)]
    rows = await embedder.embed(texts, AskedFor("papers", "a.pdf", Stage.EMBED))
    await at.gateway.aclose()
    await at.ledger.aclose()

    np.testing.assert_allclose(rows, np.array([vector(text, 8) for text in texts]), atol=1e-6)
    assert sorted(len(record.body["input"]) for record in server.records()) == [1, 3, 3]
    assert {row["stage"] for row in at.rows()} == {"embed"}
    assert spent(at) == cost_of(server) == 21 * INPUT
