"""A large document: its progress is told, the others do not wait for it, and a kill loses nothing of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.evidence import ChunkEvidence
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.ports import Extraction, Vectors
from aegis_dagster.stages.concurrency import UnderWay, each
from aegis_dagster.stages.context import Workbench
from aegis_dagster.stages.registry import STAGES
from aegis_dagster_tests.support.projects import make_project, recorded, scan, write_documents

HUGE, SMALL = DocumentId("c/a-huge.txt"), [DocumentId(f"c/small-{number}.txt") for number in range(3)]


class Killed(BaseException):
    """As a kill: nothing handles it."""


@dataclass
class Counting:
    """An embedder that counts the texts it has answered, and looks around before each answer."""

    project: Project
    dies_after: int = 10**9  # answers
    model: str = MiniLmEmbedder.model
    device: str = "cpu"
    dimensions: int = 384
    max_tokens: int = 256
    texts_per_call: int = 4
    calls_at_once: int = 1
    embedded: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    published: list[set[str]] = field(default_factory=list)  # done documents, as each call saw them

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        self.published.append(done(self.project, Stage.EMBED) & set(self.project.vectors.counts_by_document()))
        await asyncio.sleep(0)
        if self.calls == self.dies_after:
            raise Killed
        self.calls += 1
        self.embedded.update(texts)
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        rows[:, 0] = 1
        return rows


@dataclass
class Reader:
    """An extractor that finds nothing and looks around before each answer."""

    project: Project
    name: str = "reader"
    accepted: tuple[str, ...] = ("reader",)
    published: list[set[str]] = field(default_factory=list)

    async def extract(self, text: str, asked_for: AskedFor) -> Extraction:
        self.published.append(done(self.project, Stage.GRAPH))
        return Extraction(ChunkEvidence(), self.name)


@dataclass
class Heard:
    """Progress as it was told."""

    totals: Counter[str] = field(default_factory=Counter)
    advanced: Counter[str] = field(default_factory=Counter)

    def start(self, label: str, total: int) -> None:
        self.totals[str(label)] += total

    def advance(self, label: str, done: int = 1) -> None:
        self.advanced[str(label)] += done

    def finish(self, label: str) -> None:
        assert self.advanced[str(label)] == self.totals[str(label)]


def done(project: Project, stage: Stage) -> set[str]:
    states = recorded(project).items()
    return {name for name, state in states if stage in state and state[stage].status is Status.DONE}


@pytest.fixture
async def chunked(tmp_path: Path) -> Project:
    """A large document that comes first by its name, and small ones, all chunked."""
    project = make_project(tmp_path, embed={"window_chunks": 64})
    write_documents(project.root, [HUGE], paragraphs=60)
    write_documents(project.root, SMALL, paragraphs=2)
    scan(project)
    async with project.workbench() as bench:
        for stage in (Stage.PARSE, Stage.ENRICH, Stage.CHUNK):
            await STAGES[stage](project.documents.all(), bench)
    return project


@asynccontextmanager
async def bench_with(project: Project, embedder: Counting, progress: Heard) -> AsyncIterator[Workbench]:
    async with project.workbench() as bench:
        yield replace(bench, embedder=embedder, progress=progress)


async def test_the_small_documents_are_published_before_the_large_one_is_begun(chunked: Project) -> None:
    embedder, heard = Counting(chunked), Heard()
    async with bench_with(chunked, embedder, heard) as bench:
        await STAGES[Stage.EMBED](chunked.documents.all(), bench)
    chunks = int(recorded(chunked)[HUGE][Stage.CHUNK].facts["chunks"])
    calls_of_the_large_one = -(-chunks // 4)
    assert embedder.published[-calls_of_the_large_one:] == [set(SMALL)] * calls_of_the_large_one
    assert heard.totals[f"chunk vectors of {HUGE}"] == chunks
    assert done(chunked, Stage.EMBED) == {HUGE, *SMALL}


async def test_the_graph_does_not_wait_for_a_large_document_either(chunked: Project) -> None:
    reader, heard = Reader(chunked), Heard()
    async with chunked.workbench() as bench:
        mine = replace(bench, extractor=lambda _: reader, progress=heard)
        await STAGES[Stage.GRAPH](chunked.documents.all(), mine)
    assert reader.published[-1] == set(SMALL)
    assert heard.totals[f"chunks read of {HUGE}"] == int(recorded(chunked)[HUGE][Stage.CHUNK].facts["chunks"])


async def test_a_kill_within_a_document_loses_no_text_that_was_embedded(chunked: Project) -> None:
    first, second = Counting(chunked, dies_after=5), Counting(chunked)
    with pytest.raises(Killed):
        async with bench_with(chunked, first, Heard()) as bench:
            await STAGES[Stage.EMBED](chunked.documents.all(), bench)
    assert done(chunked, Stage.EMBED) == set(SMALL)
    again = make_project(chunked.settings.home.parent, embed={"window_chunks": 64})  # as a new process
    async with bench_with(again, second, Heard()) as bench:
        await STAGES[Stage.EMBED](again.documents.all(), bench)
    assert done(again, Stage.EMBED) == {HUGE, *SMALL}
    assert max((first.embedded + second.embedded).values()) == 1
    assert first.calls == 5


async def test_who_ends_the_process_waits_for_what_is_under_way_and_nothing_more_is_begun() -> None:
    under_way, answers, begun = UnderWay(), asyncio.Event(), list[int]()

    async def work(item: int) -> None:
        begun.append(item)
        await answers.wait()

    running = asyncio.ensure_future(each(range(5), work, at_once=2, under_way=under_way))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    under_way.close()
    assert (begun, under_way.items) == ([0, 1], 2)
    answers.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (begun, under_way.items) == ([0, 1], 0)
    assert not running.done()
    running.cancel()
