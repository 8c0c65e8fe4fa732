"""Describing pictures by a vision model: what is sent, which answers are descriptions, when OCR stands in."""

import asyncio
import logging
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from aegis_dagster.domain.llm import AskedFor, Classification, Picture, Quality, TaskType
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import (
    BudgetExhausted,
    ConfigurationError,
    DocumentError,
    FailureCode,
    ModelsUnavailable,
    ServiceError,
)
from aegis_dagster.pictures.vision import VisionDescriber, vision_prompt
from aegis_dagster.ports import PictureDescription
from aegis_dagster_tests.support.gateways import TIERS, Hangs, Says, ScriptedGateway, ScriptRanOut, Step

GOOD = "A bar chart of revenue by quarter. North reached 4711 and South 815."
REFUSED = "I'm sorry, but I cannot see any image."
ASKED_FOR = AskedFor("papers", "papers/secret-plan.pdf", Stage.ENRICH)


class Ocr:
    """A describer that finds the same text in every picture, and remembers which it was shown."""

    name = "ocr/test"
    accepted: tuple[str, ...] = (name,)

    def __init__(self) -> None:
        self.shown: list[Path] = []

    async def describe(self, picture: Path, asked_for: AskedFor) -> PictureDescription:
        self.shown.append(picture)
        return PictureDescription("North 4711 South 815", self.name)


def describer(
    gateway: ScriptedGateway,
    ocr: Ocr,
    *,
    classification: Classification = Classification.INTERNAL,
    quality: Quality = Quality.STANDARD,
) -> VisionDescriber:
    return VisionDescriber(
        gateway, ocr, classification=classification, quality=quality, max_side_pixels=256, max_tokens=300
    )


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A drawing of few colours, larger than what is sent."""
    picture = Image.new("RGB", (800, 400), "white")
    ImageDraw.Draw(picture).rectangle((100, 100, 200, 350), fill="navy")
    picture.save(tmp_path / "secret-revenue.png")
    return tmp_path / "secret-revenue.png"


async def described(chart: Path, *script: Step) -> tuple[PictureDescription, ScriptedGateway, Ocr]:
    gateway, ocr = ScriptedGateway(script), Ocr()
    return await describer(gateway, ocr).describe(chart, ASKED_FOR), gateway, ocr


async def test_a_model_describes_the_picture_it_is_shown(chart: Path) -> None:
    description, gateway, ocr = await described(chart, Says(GOOD))

    assert description == PictureDescription(GOOD, "vision-1/house/small", fallback="")
    assert ocr.shown == []
    (task,) = gateway.tasks
    assert task.task_type is TaskType.IMAGE_DESCRIPTION
    assert (task.max_tokens, task.quality, task.asked_for) == (300, Quality.STANDARD, ASKED_FOR)
    assert task.picture is not None
    sent = Image.open(BytesIO(task.picture.data))
    assert (sent.format, sent.size) == ("PNG", (256, 128))
    assert sent.convert("RGB").getpixel((48, 70)) == (0, 0, 128)  # the bar stands where it stood


async def test_neither_path_nor_file_name_nor_document_is_in_what_is_sent(chart: Path) -> None:
    _, gateway, _ = await described(chart, Says(REFUSED), Says(GOOD))
    for task in gateway.tasks:
        assert task.picture is not None
        words = " ".join(message.text for message in task.messages).encode() + task.picture.data
        for secret in (b"secret", str(chart.parent).encode(), b".png", b"papers"):
            assert secret not in words


async def test_the_one_who_answered_is_named(chart: Path) -> None:
    description, _, _ = await described(chart, Says(GOOD, by=("cloud", "flash")))
    assert description.described_by == "vision-1/cloud/flash"


def test_a_describer_is_named_by_its_first_model_and_accepts_all_of_them(chart: Path) -> None:
    of_all = describer(ScriptedGateway(), Ocr())
    assert of_all.accepted == ("vision-1/house/small", "vision-1/cloud/flash", "vision-1/cloud/plus")
    assert of_all.name == describer(ScriptedGateway(tiers=TIERS[:1]), Ocr()).name == "vision-1/house/small"
    assert describer(ScriptedGateway(), Ocr(), quality=Quality.HIGH).name == "vision-1/cloud/plus"


def test_confidential_pictures_are_shown_to_local_models_only(chart: Path) -> None:
    local = describer(ScriptedGateway(), Ocr(), classification=Classification.CONFIDENTIAL)
    assert local.accepted == ("vision-1/house/small",)
    picture = Picture(b"", "image/png", 1, 1)
    assert local.task_for(picture, ASKED_FOR).classification is Classification.CONFIDENTIAL
    with pytest.raises(ConfigurationError, match="may look at pictures of confidential documents"):
        describer(ScriptedGateway(tiers=TIERS[1:]), Ocr(), classification=Classification.CONFIDENTIAL)


BAD_ANSWERS = {
    "empty": Says(""),
    "white space": Says(" \n\t"),
    "only thinking": Says("<think>It may be a chart. It shows revenue.</think>"),
    "thinking without an end": Says("<think>The picture shows a bar chart of revenue.", finish_reason="length"),
    "refusal": Says(REFUSED),
    "refusal in other words": Says("Unfortunately, I am not able to view pictures."),
    "refusal behind thinking": Says("<think>hm</think>\nI can’t view the image."),
    "nothing attached": Says("It seems that no image was attached. Please upload it."),
    "no image": Says("No image provided."),
    "Chinese refusal": Says("抱歉，我无法查看图片。"),
    "German refusal": Says("Es tut mir leid, ich sehe kein Bild."),
    "path": Says("/tmp/aegis/pictures/picture_3.png"),
    "path with spaces": Says(r"C:\My Documents\chart one.jpg"),
    "file name": Says("`picture_3.png`"),
    "labelled file name": Says("Image: picture_3.png"),
    "Markdown picture": Says("![chart](pictures/picture_3.png)"),
    "address": Says("https://example.org/picture"),
    "data address": Says("data:image/png;base64,iVBORw0KGgo="),
    "a word for nothing": Says("N/A"),
    "signs": Says("..."),
    "cut off within the first word": Says("Revenu", finish_reason="length"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_a_bad_answer_is_asked_for_once_more(chart: Path, bad: Says) -> None:
    description, gateway, ocr = await described(chart, bad, Says(GOOD))
    assert description == PictureDescription(GOOD, "vision-1/cloud/plus")
    assert ocr.shown == []
    first, second = gateway.tasks
    assert second.quality is Quality.HIGH
    assert second.messages[0].text == f"{first.messages[0].text}\n\n{vision_prompt().again}"
    most = 600 if bad.finish_reason == "length" else 300
    assert (second.picture, second.max_tokens, second.asked_for) == (first.picture, most, ASKED_FOR)


async def test_reasoning_without_an_end_was_cut_whatever_its_provider_says(chart: Path) -> None:
    endless = Says("<think>The picture shows a bar chart of revenue.")
    description, gateway, _ = await described(chart, endless, endless)
    assert [task.max_tokens for task in gateway.tasks] == [300, 600]
    assert (description.fallback, description.cut) == ("cut", True)


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_after_two_bad_answers_the_text_in_the_picture_stands_in(chart: Path, bad: Says) -> None:
    description, gateway, ocr = await described(chart, Says(""), bad)
    cut = bad.finish_reason == "length"
    code = "cut" if cut else "bad_answer"
    assert description == PictureDescription("North 4711 South 815", "ocr/test", fallback=code, cut=cut)
    assert len(gateway.tasks) == 2
    assert ocr.shown == [chart]


CUT = Says("A bar chart. North reached 47", "length")


async def test_a_description_that_was_cut_is_asked_for_once_more_with_more_room(chart: Path) -> None:
    description, gateway, _ = await described(chart, CUT, Says(GOOD))
    assert description == PictureDescription(GOOD, "vision-1/house/small")
    first, second = gateway.tasks
    assert (first.max_tokens, second.max_tokens) == (300, 600)
    assert (first.messages, first.quality) == (second.messages, second.quality)


@pytest.mark.parametrize(
    "second",
    [CUT, Says(REFUSED), BudgetExhausted("No money.", remedy="wait."), ModelsUnavailable("Down.", remedy="wait.")],
    ids=["cut", "refused", "no money", "down"],
)
async def test_of_descriptions_that_stay_cut_the_whole_sentences_are_used(chart: Path, second: Step) -> None:
    description, _, ocr = await described(chart, CUT, second)
    assert description == PictureDescription("A bar chart.", "vision-1/house/small", cut=True)
    assert ocr.shown == []


@pytest.mark.parametrize(
    "code", [FailureCode.CONTENT_REFUSED, FailureCode.CONTEXT_TOO_LONG, FailureCode.BAD_ANSWER], ids=str
)
@pytest.mark.parametrize("asked_before", [0, 1])
async def test_ocr_stands_in_when_every_model_turns_the_picture_down(
    chart: Path, code: FailureCode, asked_before: int
) -> None:
    script: list[Step] = [*[Says("")] * asked_before, DocumentError(code, "Turned down.", remedy="none.")]
    description, gateway, ocr = await described(chart, *script)
    assert description == PictureDescription("North 4711 South 815", "ocr/test", fallback=code.value)
    assert len(gateway.tasks) == asked_before + 1
    assert ocr.shown == [chart]


@pytest.mark.parametrize(
    "error",
    [
        BudgetExhausted("No money.", remedy="wait.", until="2026-12-01T00:00:00+00:00"),
        ModelsUnavailable("Down.", remedy="wait."),
        ServiceError("The ledger is broken.", remedy="mend it."),
        ConfigurationError("No price.", remedy="add it."),
        DocumentError(FailureCode.INTERNAL_ERROR, "Another.", remedy="none."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("asked_before", [0, 1])
async def test_what_is_not_the_pictures_fault_is_raised(chart: Path, error: Exception, asked_before: int) -> None:
    gateway, ocr = ScriptedGateway([*[Says("")] * asked_before, error]), Ocr()
    with pytest.raises(type(error)) as caught:
        await describer(gateway, ocr).describe(chart, ASKED_FOR)
    assert caught.value is error
    assert ocr.shown == []


async def test_an_unreadable_picture_is_an_error_of_its_document_and_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    gateway, ocr = ScriptedGateway(), Ocr()
    with pytest.raises(DocumentError, match=r"bad\.png cannot be decoded") as caught:
        await describer(gateway, ocr).describe(tmp_path / "bad.png", ASKED_FOR)
    assert caught.value.code is FailureCode.ENRICHMENT_FAILED
    assert (gateway.tasks, ocr.shown) == ([], [])


async def test_a_script_that_runs_out_is_noticed(chart: Path) -> None:
    with pytest.raises(ScriptRanOut):
        await described(chart, Says(""))


async def test_cancelling_leaves_no_task_running(chart: Path) -> None:
    gateway, ocr = ScriptedGateway([Hangs()]), Ocr()
    before = asyncio.all_tasks()
    looking = asyncio.ensure_future(describer(gateway, ocr).describe(chart, ASKED_FOR))
    await gateway.asked.wait()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert asyncio.all_tasks() == before
    assert ocr.shown == []


async def test_the_log_holds_neither_answer_nor_path(chart: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await described(chart, Says(REFUSED), Says("/home/secret/x.png", finish_reason="length"))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("aegis_dagster")]
    assert ours == [
        "Call call-1: house/small did not describe a picture (38 characters, finish reason stop).",
        "Call call-2: cloud/plus did not describe a picture (18 characters, finish reason length).",
    ]
    assert not any("secret" in record.getMessage() for record in caplog.records)


def test_a_task_shows_neither_prompt_nor_picture() -> None:
    picture = Picture(b"\x89secret", "image/png", 1, 1)
    shown = repr(describer(ScriptedGateway(), Ocr()).task_for(picture, ASKED_FOR))
    assert "Describe" not in shown
    assert "secret" not in shown.replace("papers/secret-plan.pdf", "")


def test_the_prompt_has_a_version_and_both_parts() -> None:
    prompt = vision_prompt()
    assert prompt.version == "vision-1"
    assert prompt.question.startswith("Describe this picture")
    assert prompt.again.startswith("Your last answer was not a description")
    assert "vision-1" not in prompt.question + prompt.again
    assert "##" not in prompt.question + prompt.again
