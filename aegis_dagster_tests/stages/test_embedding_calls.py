"""How many calls an embedding takes, of how many texts, and what it loads."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.ports import Vectors
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.llm_server import LLMServer, scripted_server
from aegis_dagster_tests.support.places import REPOSITORY
from aegis_dagster_tests.support.projects import bring_up, recorded, scan, write_documents
from aegis_dagster_tests.support.projects_with_models import EMBEDDING, TEXTS_PER_CALL, project_with_models

NAMES = [f"c/{number:02}.txt" for number in range(16)]
UNTIL_CHUNKS = (Stage.PARSE, Stage.ENRICH, Stage.CHUNK)
A_CHUNK = f"{NAMES[5]} was inspected by Priya Raman in part 8."
MODEL = f"openai/{EMBEDDING}"


@dataclass
class Choosy:
    """A model that takes so many texts at once, and refuses a call with a word it does not like."""

    most: int = 10**9
    dislikes: str = "never said"
    model: str = MiniLmEmbedder.model
    dimensions: int = 8
    max_tokens: int = 256
    texts_per_call: int = 32
    calls_at_once: int = 1
    device: str = "cpu"
    answered: list[Sequence[str]] = field(default_factory=list)
    refused: int = 0

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        if len(texts) > self.most or any(self.dislikes in text for text in texts):
            self.refused += 1
            raise DocumentError(FailureCode.BAD_ANSWER, "The provider refused the request.", remedy="none")
        self.answered.append(texts)
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        rows[:, 0] = 1
        return rows


@pytest.fixture(scope="module")
def server() -> Iterator[LLMServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
async def chunked(tmp_path: Path, server: LLMServer) -> Project:
    project = project_with_models(tmp_path, server, embed={"model": MODEL})
    write_documents(project.root, NAMES, paragraphs=24)
    await bring_up(project, stages=UNTIL_CHUNKS)
    server.reset()
    return project


@asynccontextmanager
async def bench_with(project: Project, embedder: Choosy) -> AsyncIterator[Workbench]:
    async with project.workbench() as bench:
        yield replace(bench, embedder=embedder)


def chunks_of(project: Project) -> int:
    return sum(int(states[Stage.CHUNK].facts["chunks"]) for states in recorded(project).values())


async def test_the_texts_of_all_documents_share_full_calls(chunked: Project, server: LLMServer) -> None:
    async with chunked.workbench() as bench:
        await STAGES[Stage.EMBED](chunked.documents.all(), bench)
    chunks, sizes = chunks_of(chunked), [len(record.body["input"]) for record in server.records()]
    assert chunks > 3 * len(NAMES)
    full, rest = divmod(chunks, TEXTS_PER_CALL)
    assert sorted(sizes, reverse=True) == [TEXTS_PER_CALL] * full + ([rest] if rest else [])


async def test_of_edited_documents_only_the_new_texts_are_sent_together(chunked: Project, server: LLMServer) -> None:
    await bring_up(chunked, stages=(*UNTIL_CHUNKS, Stage.EMBED))
    server.reset()
    for name in NAMES[::8]:
        with (chunked.root / name).open("a") as file:
            file.write(f"\n\nA paragraph that was added to {name}.\n")
    await bring_up(chunked, stages=(*UNTIL_CHUNKS, Stage.EMBED))
    (call,) = server.records()
    assert len(call.body["input"]) == len(NAMES[::8])


async def test_a_model_that_takes_fewer_texts_is_soon_sent_fewer(chunked: Project) -> None:
    async with bench_with(chunked, embedder := Choosy(most=10)) as bench:
        report = await STAGES[Stage.EMBED](chunked.documents.all(), bench)
    assert (embedder.refused, report.outcomes[Status.DONE]) == (2, len(NAMES))  # of 32 texts, and of 16
    texts = [text for call in embedder.answered for text in call]
    assert len(texts) == len(set(texts)) == chunks_of(chunked)


async def test_a_text_that_is_refused_is_found_by_halves(chunked: Project) -> None:
    async with bench_with(chunked, embedder := Choosy(dislikes=A_CHUNK)) as bench:
        report = await STAGES[Stage.EMBED](chunked.documents.all(), bench)
    assert report.work["chunks_refused"] == 1
    assert embedder.refused <= 6  # 32 texts, 16, 8, 4, 2, and the one
    assert sum(map(len, embedder.answered)) == chunks_of(chunked) - 1


FRESH = """
import asyncio, sys, threading
from pathlib import Path
from aegis_dagster.domain.stages import Stage
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.llm_server import LLMServer
from aegis_dagster_tests.support.projects_with_models import project_with_models
project = project_with_models(
    Path(sys.argv[1]), LLMServer(sys.argv[2]), embed={"model": sys.argv[3]}, collections={"plain": {"graph": False}}
)
async def embed():
    async with project.workbench() as bench:
        report = await STAGES[Stage.EMBED](project.documents.all(), bench)
        bench.expect_chats("plain")
        heavy = "litellm openai aiohttp onnxruntime tokenizers pandas torch docling qdrant_client"
        print(report.work["chunks_embedded"], sorted(set(heavy.split()) & set(sys.modules)))
        bench.expect_chats("c")
        print([thread.name for thread in threading.enumerate() if thread.name == "litellm"])
asyncio.run(embed())
"""


async def test_embedding_by_a_provider_loads_no_library_for_chats_or_models(
    chunked: Project, server: LLMServer, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", FRESH, str(tmp_path), server.url, MODEL]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False
    )
    assert done.stdout == f"{chunks_of(chunked)} []\n['litellm']\n", done.stderr


async def test_the_library_for_chats_is_loaded_from_the_first_new_document_on(
    tmp_path: Path, server: LLMServer
) -> None:
    project = project_with_models(tmp_path, server)
    told: list[str] = []
    for expected in (["c", "d"], []):
        write_documents(project.root, ["c/a.txt", "d/b.txt"])
        scan(project)
        async with project.workbench() as bench:
            await STAGES[Stage.PARSE](project.documents.all(), replace(bench, expect_chats=told.append))
        assert sorted(told) == expected
        told.clear()
