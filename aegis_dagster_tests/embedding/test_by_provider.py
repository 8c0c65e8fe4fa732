"""Embedding by a provider's model: calls, order, checks of the vectors, what happens to texts that are too long."""

import asyncio
import logging
import math
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from aegis_dagster.domain.llm import AskedFor, Classification, LLMResponse, LLMTask, TaskType
from aegis_dagster.domain.stages import Stage
from aegis_dagster.embedding.by_provider import ProviderEmbedder
from aegis_dagster.errors import (
    BudgetExhausted,
    ConfigurationError,
    DocumentError,
    FailureCode,
    ModelsUnavailable,
    ServiceError,
)
from aegis_dagster.ports import Vectors
from aegis_dagster_tests.support.gateways import Hangs, Says, ScriptedGateway, Step

ASKED_FOR = AskedFor("papers", "papers/engine.pdf", Stage.EMBED)
TOO_LONG = DocumentError(FailureCode.CONTEXT_TOO_LONG, "Too long.", remedy="none.")


def vector(text: str) -> list[float]:
    """Three numbers that tell one text from another; not of length 1."""
    data = text.encode()
    return [float(len(data)), float(data[0]), float(data[-1])]


def counts(task: LLMTask) -> Step:
    """A provider that answers everything."""
    return Says(vectors=[vector(text) for text in task.texts])


def embedder(
    gateway: ScriptedGateway,
    *,
    dimensions: int = 3,
    max_tokens: int = 100,
    texts_per_call: int = 4,
    classification: Classification = Classification.INTERNAL,
) -> ProviderEmbedder:
    return ProviderEmbedder(
        gateway,
        "house",
        "small",
        dimensions=dimensions,
        max_tokens=max_tokens,
        texts_per_call=texts_per_call,
        classification=classification,
    )


def expected(texts: Sequence[str]) -> Vectors:
    rows = np.array([vector(text) for text in texts])
    normalised: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return normalised


@pytest.mark.parametrize(("texts", "calls"), [(1, [1]), (4, [4]), (5, [1, 4]), (10, [2, 4, 4])])
async def test_texts_become_rows_of_length_one_in_their_order(texts: int, calls: list[int]) -> None:
    given = [f"{number} text of a document{'!' * number}" for number in range(texts)]
    gateway = ScriptedGateway(answer=counts)
    rows = await embedder(gateway).embed(given, ASKED_FOR)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, expected(given))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert sorted(len(task.texts) for task in gateway.tasks) == calls


async def test_the_task_names_the_model_and_for_whom_it_is_asked() -> None:
    gateway = ScriptedGateway(answer=counts)
    await embedder(gateway, classification=Classification.CONFIDENTIAL).embed(["text"], ASKED_FOR)
    (task,) = gateway.tasks
    assert task == LLMTask(
        TaskType.EMBEDDING,
        texts=("text",),
        dimensions=3,
        classification=Classification.CONFIDENTIAL,
        asked_for=ASKED_FOR,
        only=("house", "small"),
    )


async def test_order_is_kept_when_later_calls_answer_first() -> None:
    class LastFirst(ScriptedGateway):
        async def ask(self, task: LLMTask) -> LLMResponse:
            await asyncio.sleep(0.05 / int(task.texts[0]))
            return await super().ask(task)

    given = [str(number) for number in range(1, 9)]
    rows = await embedder(LastFirst(answer=counts), texts_per_call=2).embed(given, ASKED_FOR)
    np.testing.assert_array_equal(rows, expected(given))


async def test_calls_are_made_side_by_side() -> None:
    gateway = ScriptedGateway(answer=counts, seconds=0.01)
    await embedder(gateway, texts_per_call=2).embed(["text"] * 10, ASKED_FOR)
    assert gateway.most_at_once == 5


async def test_no_text_costs_no_call() -> None:
    gateway = ScriptedGateway()
    rows = await embedder(gateway).embed([], ASKED_FOR)
    assert rows.shape == (0, 3)
    assert rows.dtype == np.float32
    assert gateway.tasks == []


def test_the_model_is_named_with_provider_and_dimensions() -> None:
    one = embedder(ScriptedGateway())
    assert (one.model, one.dimensions, one.max_tokens, one.texts_per_call) == ("house/small/3", 3, 100, 4)


@pytest.mark.parametrize(
    ("provider", "model", "classification"),
    [
        ("house", "plus", Classification.INTERNAL),
        ("nobody", "small", Classification.INTERNAL),
        ("cloud", "flash", Classification.CONFIDENTIAL),
    ],
)
def test_a_model_that_may_not_answer_is_refused_at_once(
    provider: str, model: str, classification: Classification
) -> None:
    with pytest.raises(ConfigurationError, match=rf"llm\.providers\.{provider}\.models\.{model}\.tasks"):
        ProviderEmbedder(ScriptedGateway(), provider, model, 3, 100, 4, classification)


@pytest.mark.parametrize("lengths", [(2, 2), (4, 4), (3, 2), (0, 0)])
async def test_vectors_of_another_length_name_the_setting(lengths: tuple[int, int]) -> None:
    gateway = ScriptedGateway([Says(vectors=[[1.0] * length for length in lengths])])
    with pytest.raises(ConfigurationError, match=r"set llm\.providers\.house\.models\.small\.dimensions"):
        await embedder(gateway).embed(["a", "b"], ASKED_FOR)


@pytest.mark.parametrize(
    "vectors",
    [
        [],
        [[1.0, 0.0, 0.0]],
        [[1.0, 0.0, 0.0]] * 3,
        [[1.0, 0.0, 0.0], [math.nan, 0.0, 0.0]],
        [[1.0, 0.0, 0.0], [math.inf, 0.0, 0.0]],
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    ],
    ids=["none", "too few", "too many", "NaN", "infinite", "zero"],
)
async def test_an_answer_that_is_no_vectors_is_refused(vectors: list[list[float]]) -> None:
    with pytest.raises(DocumentError, match="house/small/3 answered with"):
        await embedder(ScriptedGateway([Says(vectors=vectors)])).embed(["SECRET", "b"], ASKED_FOR)


async def test_large_and_small_vectors_are_normalised_exactly() -> None:
    gateway = ScriptedGateway([Says(vectors=[[1e30, 0.0, 0.0], [0.0, 1e-30, 0.0]])])
    rows = await embedder(gateway).embed(["a", "b"], ASKED_FOR)
    np.testing.assert_array_equal(rows, np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32))


@pytest.mark.parametrize(
    "error",
    [
        BudgetExhausted("No money.", remedy="wait."),
        ModelsUnavailable("Down.", remedy="wait."),
        ServiceError("The ledger is broken.", remedy="mend it."),
        ConfigurationError("No price.", remedy="add it."),
        DocumentError(FailureCode.CONTENT_REFUSED, "Refused.", remedy="none."),
        DocumentError(FailureCode.BAD_ANSWER, "Bad.", remedy="none."),
    ],
    ids=lambda error: getattr(error, "code", type(error).__name__),
)
async def test_what_the_gateway_raises_is_raised_when_the_paid_calls_are_done(error: Exception) -> None:
    answered: list[str] = []

    class Gateway(ScriptedGateway):
        async def ask(self, task: LLMTask) -> LLMResponse:
            if task.texts[0] == "3":
                raise error
            response = await super().ask(task)
            answered.extend(task.texts)
            return response

    before = asyncio.all_tasks()
    gateway = Gateway(answer=counts, seconds=0.01)
    with pytest.raises(type(error)) as caught:
        await embedder(gateway, texts_per_call=2).embed([str(number) for number in range(1, 9)], ASKED_FOR)
    assert caught.value is error
    assert sorted(answered) == ["1", "2", "5", "6", "7", "8"]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("texts", [1, 8])
async def test_cancelling_leaves_no_task_running(texts: int) -> None:
    gateway = ScriptedGateway(answer=lambda _: Hangs())
    before = asyncio.all_tasks()
    embedding = asyncio.ensure_future(embedder(gateway, texts_per_call=2).embed(["text"] * texts, ASKED_FOR))
    await gateway.asked.wait()
    embedding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await embedding
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("a" * 400, "a" * 400),
        ("a" * 401, "a" * 400),
        ("ä" * 300, "ä" * 200),
        ("图" * 200, "图" * 133),
        ("broken \ud800 text", "broken ? text"),
    ],
)
async def test_what_is_surely_too_long_is_cut_off_between_characters(text: str, sent: str) -> None:
    gateway = ScriptedGateway(answer=counts)
    one = embedder(gateway)
    await one.embed(["short", text], ASKED_FOR)
    assert gateway.tasks[0].texts == ("short", sent)
    assert one.cuts == (1 if len(text) > len(sent) else 0)


def refuses_above(limit: int) -> Callable[[LLMTask], Step]:
    """A provider that turns a call down when one of its texts has more bytes than that."""

    def step(task: LLMTask) -> Step:
        return TOO_LONG if any(len(text.encode()) > limit for text in task.texts) else counts(task)

    return step


async def test_the_one_text_that_the_model_finds_too_long_is_found_and_cut() -> None:
    given = ["short 1", "short 2", "x" * 300, "short 3", "short 4"]
    gateway = ScriptedGateway(answer=refuses_above(250))
    one = embedder(gateway, texts_per_call=8)
    rows = await one.embed(given, ASKED_FOR)
    np.testing.assert_array_equal(rows, expected([*given[:2], "x" * 100, *given[3:]]))
    assert [len(task.texts) for task in gateway.tasks] == [5, 2, 3, 1, 1, 2]
    assert one.cuts == 1


async def test_a_text_that_is_too_long_at_any_length_is_an_error() -> None:
    gateway = ScriptedGateway(answer=refuses_above(50))
    with pytest.raises(DocumentError) as caught:
        await embedder(gateway).embed(["x" * 300], ASKED_FOR)
    assert caught.value is TOO_LONG
    assert [len(task.texts[0]) for task in gateway.tasks] == [300, 100]


async def test_neither_logs_nor_errors_hold_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gateway = ScriptedGateway([Says(vectors=[[math.nan] * 3])])
    with pytest.raises(DocumentError) as caught:
        await embedder(gateway).embed(["SECRET" * 100], ASKED_FOR)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("aegis_dagster")]
    assert ours == ["house/small/3: a text of 600 bytes is cut off at 400."]
    assert "SECRET" not in str(caught.value) + repr(gateway.tasks)


def test_choosing_a_provider_loads_no_numpy() -> None:
    script = "import sys, aegis_dagster.embedding.by_provider\nprint('numpy' in sys.modules)\n"
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == "False\n"
