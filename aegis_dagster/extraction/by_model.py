"""Extracts entities and relations with a language model and LightRAG's prompt."""

import logging
from dataclasses import replace

from aegis_dagster.domain.answers import Cut, cut_before_the_first_record
from aegis_dagster.domain.evidence import ChunkEvidence
from aegis_dagster.domain.llm import AskedFor, Classification, LLMTask, Quality, TaskType
from aegis_dagster.errors import ConfigurationError, Deferred, DocumentError, FailureCode
from aegis_dagster.extraction.lightrag_answer import Unreadable, read_answer
from aegis_dagster.extraction.lightrag_prompt import IDENTITY, messages
from aegis_dagster.ports import Extraction, ModelGateway

logger = logging.getLogger(__name__)


class ModelExtractor:
    """Extracts the evidence of a passage by asking a model. Implements `ports.EvidenceExtractor`."""

    def __init__(
        self, gateway: ModelGateway, *, classification: Classification, quality: Quality, max_tokens: int
    ) -> None:
        """max_tokens: of an answer.

        Raises ConfigurationError: no configured model may read texts of this classification.
        """
        self._gateway = gateway
        self._template = LLMTask(
            TaskType.ENTITY_EXTRACTION,
            max_tokens=max_tokens,
            json_mode=True,
            classification=classification,
            quality=quality,
        )
        able = gateway.candidates(self._template)
        if not able:
            raise ConfigurationError(
                f"No configured model may read {classification} documents.",
                remedy="configure a language model under llm.providers, or set graph.extractor to statistical.",
            )
        self.accepted: tuple[str, ...] = tuple(f"{IDENTITY}/{one.provider}/{one.model}" for one in able)
        self.name = self.accepted[0]  # of the first model only: a further provider makes nothing stale

    async def extract(self, text: str, asked_for: AskedFor) -> Extraction:
        """The entities and relations in the text; a blank text has none and needs no call.

        An unreadable answer is asked for once more, one that was cut with more room. If it is cut again, or there is no
        money for it, the complete records are returned as `cut`.

        Raises DocumentError BAD_ANSWER or CUT after two answers without a complete record, and the gateway's errors:
        DocumentError, Deferred, ServiceError, ConfigurationError.
        """
        if not text.strip():
            return Extraction(ChunkEvidence(), self.name)
        task = self.task_for(text, asked_for)
        first = await self._asked(task)
        if isinstance(first, Extraction) and not first.cut:
            return first
        again = replace(task, messages=messages(text, stricter=True))
        try:
            second = await self._asked(again.with_more_room() if first.cut else again)
        except (Deferred, DocumentError):
            if isinstance(first, Unreadable):
                raise
            return first
        return _better(first, second)

    def task_for(self, text: str, asked_for: AskedFor) -> LLMTask:
        """The task for a text; forecasts use it too. Raises ConfigurationError: LightRAG is not installed."""
        return replace(self._template, messages=messages(text), asked_for=asked_for)

    async def _asked(self, task: LLMTask) -> Extraction | Unreadable:
        response = await self._gateway.ask(task)
        found = await read_answer(response.content, cut=response.cut is not None)
        said_by = f"{response.provider}/{response.model}"
        if isinstance(found, Unreadable):
            logger.warning(
                "Call %s: the answer of %s cannot be read: %s (%d characters, finish reason %s).",
                response.call_id,
                said_by,
                found.why,
                len(response.content),
                response.finish_reason,
            )
            return found
        if found.cut:
            logger.warning(
                "Call %s: the %s of %s was cut (%d of %d tokens of output, %d of input, finish reason %s).",
                *(response.call_id, response.cut or Cut.ANSWER, said_by, response.usage.output_tokens),
                *(response.max_tokens, response.usage.input_tokens, response.finish_reason),
            )
        if found.unusable:
            logger.info("Call %s: %d records of %s are not whole.", response.call_id, found.unusable, said_by)
        return Extraction(found.evidence, f"{IDENTITY}/{said_by}", found.cut)


def _better(first: Extraction | Unreadable, second: Extraction | Unreadable) -> Extraction:
    """The one that says more; a complete one before one that was cut. Raises DocumentError: there is none."""
    found = [one for one in (second, first) if isinstance(one, Extraction)]
    if isinstance(second, Unreadable) and not found:
        raise _unreadable(second)
    return max(found, key=lambda one: (not one.cut, len(one.evidence.mentions) + len(one.evidence.relations)))


def _unreadable(last: Unreadable) -> DocumentError:
    if last.cut:
        return cut_before_the_first_record()
    return DocumentError(
        FailureCode.BAD_ANSWER,
        f"The model's answer about a passage could not be read, twice; the last was: {last.why}.",
        remedy="set graph.quality to high or choose another model, then run `aegis retry`.",
        retryable=True,
    )
