"""Extracts entities and relations with a language model and LightRAG's prompt."""

import logging
from dataclasses import replace

from aegis_dagster.domain.evidence import ChunkEvidence
from aegis_dagster.domain.llm import AskedFor, Classification, LLMTask, Quality, TaskType
from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode
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

        Raises DocumentError BAD_ANSWER after two unreadable answers, and the gateway's errors:
        DocumentError, Deferred, ServiceError, ConfigurationError.
        """
        if not text.strip():
            return Extraction(ChunkEvidence(), self.name)
        task = self.task_for(text, asked_for)
        found = await self._asked(task)
        if isinstance(found, Unreadable):
            found = await self._asked(replace(task, messages=messages(text, stricter=True)))
        if isinstance(found, Unreadable):
            raise DocumentError(
                FailureCode.BAD_ANSWER,
                f"The model's answer about a passage could not be read, twice; the last was: {found.why}.",
                remedy="set graph.quality to high or choose another model, then run `aegis retry`.",
                retryable=True,
            )
        return found

    def task_for(self, text: str, asked_for: AskedFor) -> LLMTask:
        """The task for a text; forecasts use it too. Raises ConfigurationError: LightRAG is not installed."""
        return replace(self._template, messages=messages(text), asked_for=asked_for)

    async def _asked(self, task: LLMTask) -> Extraction | Unreadable:
        response = await self._gateway.ask(task)
        found = await read_answer(response.content, response.finish_reason)
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
        if found.unusable:
            logger.info("Call %s: %d records of %s are not whole.", response.call_id, found.unusable, said_by)
        return Extraction(found.evidence, f"{IDENTITY}/{said_by}")
