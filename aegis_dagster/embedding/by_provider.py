"""Embeds texts with a provider's model."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from aegis_dagster.domain.llm import AskedFor, Classification, LLMResponse, LLMTask, TaskType
from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode
from aegis_dagster.ports import ModelGateway, Vectors

logger = logging.getLogger(__name__)

# UTF-8 bytes per token. A token of text holds about four, so a longer text does not fit; no token holds less than one,
# so a text this short always fits. Texts in between are sent whole, and cut if the model refuses them.
_BYTES_OF_A_TOKEN = 4
_FEWEST_BYTES_OF_A_TOKEN = 1


class ProviderEmbedder:
    """Turns texts into vectors by one model of one provider. Implements `ports.Embedder`."""

    device: str = ""
    calls_at_once: int = 64  # the gateway limits the calls to each provider further

    def __init__(
        self,
        gateway: ModelGateway,
        provider: str,
        model: str,
        dimensions: int,
        max_tokens: int,
        texts_per_call: int,
        classification: Classification = Classification.INTERNAL,
    ) -> None:
        """texts_per_call: `embed` with no more texts makes one call to the model: all is paid or nothing.

        Raises ConfigurationError: there is no such model, or it may not see texts of this classification.
        """
        self.model = f"{provider}/{model}/{dimensions}"
        self.dimensions = dimensions
        self.max_tokens = max_tokens
        self.texts_per_call = texts_per_call
        self.cuts = 0  # texts that were too long, since the start
        self._gateway = gateway
        self._setting = f"llm.providers.{provider}.models.{model}"
        self._template = LLMTask(
            TaskType.EMBEDDING, dimensions=dimensions, classification=classification, only=(provider, model)
        )
        if not gateway.candidates(self._template):
            raise ConfigurationError(
                f"embed.model {provider}/{model} is no embedding model that may see {classification} documents.",
                remedy=f"add the task embedding to {self._setting}.tasks, or choose another embed.model.",
            )

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        """float32 of shape (len(texts), dimensions), rows of length 1, in the order given.

        When a call fails, it waits for the others, because they are paid, and raises the first error. Raises
        ConfigurationError: vectors of another length. Raises DocumentError CONTENT_REFUSED, BAD_ANSWER (also for
        invalid vectors); Deferred.
        """
        import numpy as np

        if not texts:
            return np.empty((0, self.dimensions), dtype=np.float32)
        sent = [self._cut(text, _BYTES_OF_A_TOKEN) for text in texts]
        size = self.texts_per_call
        parts = [sent[start : start + size] for start in range(0, len(sent), size)]
        if len(parts) == 1:
            return await self._rows(parts[0], asked_for)
        results = await asyncio.gather(*(self._rows(part, asked_for) for part in parts), return_exceptions=True)
        rows: list[Vectors] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            rows.append(result)
        return np.concatenate(rows)

    def task_for(self, texts: Sequence[str], asked_for: AskedFor) -> LLMTask:
        """The task for texts that fit one call; forecasts use it too."""
        return replace(self._template, texts=tuple(texts), asked_for=asked_for)

    async def _rows(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        """The vectors of one call. Halving finds a text that is too long for the model; it is then cut."""
        import numpy as np

        try:
            response = await self._gateway.ask(self.task_for(texts, asked_for))
        except DocumentError as error:
            if error.code is not FailureCode.CONTEXT_TOO_LONG:
                raise
            half = len(texts) // 2
            if half:
                first, second = texts[:half], texts[half:]
                return np.concatenate([await self._rows(first, asked_for), await self._rows(second, asked_for)])
            shorter = self._cut(texts[0], _FEWEST_BYTES_OF_A_TOKEN)
            if shorter == texts[0]:
                raise
            return await self._rows([shorter], asked_for)
        return self._checked(response, len(texts))

    def _cut(self, text: str, bytes_of_a_token: int) -> str:
        """The text, cut to fit at this many bytes per token. A lone surrogate becomes a question mark."""
        data = text.encode("utf-8", "replace")
        limit = self.max_tokens * bytes_of_a_token
        if len(data) > limit:
            self.cuts += 1
            logger.warning("%s: a text of %d bytes is cut off at %d.", self.model, len(data), limit)
        return data[:limit].decode("utf-8", "ignore")

    def _checked(self, response: LLMResponse, texts: int) -> Vectors:
        """The vectors of an answer, normalized to length 1. Raises an error that says what is wrong with them."""
        import numpy as np

        lengths = {len(vector) for vector in response.vectors}
        if len(response.vectors) != texts:
            raise self._broken(f"{len(response.vectors)} vectors for {texts} texts")
        if lengths != {self.dimensions}:
            raise ConfigurationError(
                f"{self.model} gives vectors of length {', '.join(map(str, sorted(lengths)))}.",
                remedy=f"set {self._setting}.dimensions to their length.",
            )
        exact = np.array(response.vectors, dtype=np.float64)
        norms = np.linalg.norm(exact, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not (norms > 0).all():
            raise self._broken("vectors with NaN, infinite or only zero values")
        rows: Vectors = (exact / norms).astype(np.float32)
        return rows

    def _broken(self, what: str) -> DocumentError:
        return DocumentError(
            FailureCode.BAD_ANSWER,
            f"{self.model} answered with {what}.",
            remedy="check that the provider serves this model for embedding, or choose another embed.model.",
        )
