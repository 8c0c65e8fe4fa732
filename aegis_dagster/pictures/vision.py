"""Describes a picture with a vision model."""

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from aegis_dagster.domain.answers import is_reasoning_without_end
from aegis_dagster.domain.llm import AskedFor, Classification, LLMTask, Message, Picture, Quality, TaskType
from aegis_dagster.errors import ConfigurationError, Deferred, DocumentError, FailureCode
from aegis_dagster.pictures.answers import description_in
from aegis_dagster.pictures.shrinking import shrunk
from aegis_dagster.ports import ModelGateway, PictureDescriber, PictureDescription

logger = logging.getLogger(__name__)

# The picture is at fault, not the provider: OCR is used instead of the model.
_OCR_INSTEAD = frozenset({FailureCode.CONTENT_REFUSED, FailureCode.CONTEXT_TOO_LONG, FailureCode.BAD_ANSWER})


@dataclass(frozen=True, slots=True)
class VisionPrompt:
    """The parts of `vision_prompt.md`."""

    version: str  # "vision-1"
    question: str
    again: str  # follows the question after a bad answer


class VisionDescriber:
    """Describes a picture with a vision model. Implements `ports.PictureDescriber`."""

    def __init__(
        self,
        gateway: ModelGateway,
        fallback: PictureDescriber,
        *,
        classification: Classification,
        quality: Quality,
        max_side_pixels: int,
        max_tokens: int,
    ) -> None:
        """fallback: OCR. max_side_pixels: of the picture sent. max_tokens: of an answer.

        Raises ConfigurationError: no configured model may look at pictures of this classification.
        """
        self._gateway = gateway
        self._fallback = fallback
        self._max_side_pixels = max_side_pixels
        self._template = LLMTask(
            TaskType.IMAGE_DESCRIPTION, max_tokens=max_tokens, classification=classification, quality=quality
        )
        version = vision_prompt().version
        able = gateway.candidates(self._template)
        if not able:
            raise ConfigurationError(
                f"No configured model may look at pictures of {classification} documents.",
                remedy="configure a vision model under llm.providers, or set enrich.describer to ocr.",
            )
        self.accepted: tuple[str, ...] = tuple(f"{version}/{one.provider}/{one.model}" for one in able)
        self.name = self.accepted[0]  # of the first model only: a further provider makes nothing stale

    async def describe(self, picture: Path, asked_for: AskedFor) -> PictureDescription:
        """The model's description; after two bad answers, or if every model refuses, the text in the picture.

        Then `fallback` says why. An answer that was cut is asked for once more with more room; if that does not help,
        the whole sentences are returned as `cut`. Raises Deferred, ServiceError, ConfigurationError; DocumentError
        ENRICHMENT_FAILED when the file is no readable picture, and what the fallback raises.
        """
        small = await asyncio.to_thread(shrunk, picture, self._max_side_pixels)
        task = self.task_for(small, asked_for)
        try:
            described = await self._described(task)
        except DocumentError as error:
            if error.code not in _OCR_INSTEAD:
                raise
            described = _Described("", "", cut=False)
            code = error.code
        else:
            if described.text:
                return PictureDescription(described.text, described.by, cut=described.cut)
            code = FailureCode.CUT if described.cut else FailureCode.BAD_ANSWER
        read = await self._fallback.describe(picture, asked_for)
        return replace(read, fallback=str(code), cut=described.cut)

    def task_for(self, picture: Picture, asked_for: AskedFor) -> LLMTask:
        """The task for a picture; forecasts use it too. It contains neither path nor file name."""
        return replace(
            self._template,
            messages=(Message("user", vision_prompt().question),),
            picture=picture,
            asked_for=asked_for,
        )

    async def _described(self, task: LLMTask) -> "_Described":
        """The better of at most two answers."""
        first = await self._asked(task)
        if first.text and not first.cut:
            return first
        again = task if first.text else _once_more(task)
        try:
            second = await self._asked(again.with_more_room() if first.cut else again)
        except (Deferred, DocumentError):
            if not first.text:
                raise
            return first
        return max((second, first), key=lambda one: (bool(one.text), bool(one.text) and not one.cut))

    async def _asked(self, task: LLMTask) -> "_Described":
        response = await self._gateway.ask(task)
        cut = response.cut is not None or is_reasoning_without_end(response.content)
        text = description_in(response.content, cut=cut)
        if text is None or cut:
            logger.warning(
                "Call %s: %s/%s did not describe a picture%s (%d characters, finish reason %s).",
                response.call_id,
                response.provider,
                response.model,
                "" if text is None else " to the end",
                len(response.content),
                response.finish_reason,
            )
        by = f"{vision_prompt().version}/{response.provider}/{response.model}"
        return _Described(text or "", by, cut)


@dataclass(frozen=True, slots=True)
class _Described:
    """What one answer says of a picture."""

    text: str  # "": nothing
    by: str
    cut: bool


@cache
def vision_prompt() -> VisionPrompt:
    """The prompt of `vision_prompt.md`: version in the first line, then a section for each part."""
    text = (files("aegis_dagster.pictures") / "vision_prompt.md").read_text("utf-8")
    parts = {title: body.strip() for title, _, body in (part.partition("\n") for part in text.split("\n## "))}
    return VisionPrompt(text.partition("\n")[0].strip(), parts["Question"], parts["Again"])


def _once_more(task: LLMTask) -> LLMTask:
    """The same task in stricter words, for a better model if there is one."""
    question = task.messages[-1]
    stricter = replace(question, text=f"{question.text}\n\n{vision_prompt().again}")
    return replace(task, messages=(*task.messages[:-1], stricter), quality=Quality.HIGH)
