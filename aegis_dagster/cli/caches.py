"""`aegis cache forget`: forget what models said, so that it can be asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aegis_dagster.cli.options import Json
from aegis_dagster.cli.output import err, errors_shown, out, print_json
from aegis_dagster.cli.terminal import escape
from aegis_dagster.domain.stages import Stage
from aegis_dagster.errors import ConfigurationError, DocumentError

if TYPE_CHECKING:
    from aegis_dagster.composition.project import Project
    from aegis_dagster.domain.stages import Document

_FACTS_SECONDS = 120.0
_WHAT = {Stage.ENRICH: "descriptions of pictures", Stage.EMBED: "vectors", Stage.GRAPH: "answers about chunks"}

caches_app = typer.Typer(no_args_is_help=True)


class CachedStage(StrEnum):
    """A stage whose results are cached."""

    ENRICH = "enrich"
    EMBED = "embed"
    GRAPH = "graph"


def add_to(app: typer.Typer) -> None:
    """Add the commands to `aegis`."""
    app.add_typer(caches_app, name="cache", help="Forget what models said.")


@caches_app.callback()
def _commands() -> None:
    """Forget what models said."""


@caches_app.command()
def forget(
    stage: Annotated[CachedStage | None, typer.Option(help="Only results of this stage.")] = None,
    model: Annotated[str | None, typer.Option(help="Only results of this model, PROVIDER/MODEL.")] = None,
    document: Annotated[str | None, typer.Option(help="Only results about this document's content.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many there are.")] = False,
    as_json: Json = False,
) -> None:
    """Forget cached results of models, chosen by stage, model and document. Nothing is asked again by itself."""
    from aegis_dagster.composition.project import open_project

    with errors_shown(as_json):
        if stage is None and not model and not document:
            raise ConfigurationError(
                "Nothing says which results to forget.", remedy="name a --stage, a --model or a --document."
            )
        stages = [Stage(stage)] if stage else list(_WHAT)
        forgotten = _forget(open_project(), stages, model, document, dry_run=dry_run)
        if as_json:
            print_json({"forgotten": {str(each): count for each, count in forgotten.items()}, "dry_run": dry_run})
            return
        for each, count in forgotten.items():
            out.print(f"{count} {_WHAT[each]} {'would be' if dry_run else 'are'} forgotten.")
        first = next((each for each, count in forgotten.items() if count), None)
        if first is not None and not dry_run:
            out.print(f"`aegis ingest --force-from {first}` asks for them again, and pays for it.")


def _forget(
    project: Project, stages: Sequence[Stage], model: str | None, document: str | None, *, dry_run: bool
) -> dict[Stage, int]:
    from aegis_dagster.stores.caches import CachedResults

    cached = CachedResults(project.engine)
    documents = [project.reports.find(document)] if document else None
    found: dict[Stage, int] = {}
    for stage in stages:
        models: list[str] | None = None
        if stage is Stage.GRAPH and (model or documents):
            models = _extractors(project, model)
        elif model:
            models = [name for name in cached.models(stage) if _is_of(name, model)]
        hashes = None
        if stage is Stage.ENRICH and documents:
            hashes = asyncio.run(_picture_hashes(project, documents))
        elif documents or (stage is Stage.GRAPH and model):
            hashes = _text_hashes(project, documents or project.documents.all())
        found[stage] = cached.forget(stage, models=models, hashes=hashes, dry_run=dry_run)
    return found


def _is_of(name: str, model: str) -> bool:
    """Whether a name under which results are cached ("vision-1/PROVIDER/MODEL") is of a model."""
    return f"/{model}/" in f"/{name.partition('!')[0]}/"


def _extractors(project: Project, model: str | None) -> list[str]:
    """The names of the extractors that may have read chunks, or of those of one model, configured or not."""
    from aegis_dagster.extraction.lightrag_prompt import IDENTITY

    collections = project.documents.collections()
    names = {name for collection in collections for name in project.choices.extractor(collection).accepted}
    return sorted(names) if model is None else sorted({n for n in names if _is_of(n, model)} | {f"{IDENTITY}/{model}"})


def _text_hashes(project: Project, documents: Sequence[Document]) -> set[str]:
    """The hashes of the documents' chunks, as they were last cut."""
    from aegis_dagster.domain.identifiers import text_hash
    from aegis_dagster.stages.chunk import read_chunks

    hashes: set[str] = set()
    for folder in _results(project, Stage.CHUNK, documents):
        with _damage_told("the passages of a document"):
            hashes.update(text_hash(chunk.embedded_text) for chunk in read_chunks(folder))
    return hashes


async def _picture_hashes(project: Project, documents: Sequence[Document]) -> set[str]:
    """The hashes of the documents' pictures, measured by a worker as when they were described."""
    from aegis_dagster.stages.enrich import pictures_of

    paths: list[str] = []
    for folder in _results(project, Stage.PARSE, documents):
        with _damage_told("the pictures of a document"):
            paths += [str(folder / picture["file"]) for picture in pictures_of(folder)]
    hashes: set[str] = set()
    if paths:
        async with project.workbench() as bench:
            with _damage_told("the pictures of a document"):
                answer = await bench.tasks.run("picture_facts", {"paths": paths}, timeout_seconds=_FACTS_SECONDS)
                hashes = {facts["content_hash"] for facts in answer["facts"] if facts is not None}
    return hashes


@contextmanager
def _damage_told(what: str) -> Iterator[None]:
    """A stored result that cannot be read costs the results about other content nothing."""
    try:
        yield
    except DocumentError as error:
        err.print(
            f"Results about {what} are not forgotten: {escape(error.message)} Run `aegis audit --repair`, then "
            "`aegis ingest`, which makes it again from the caches, then this command again."
        )


def _results(project: Project, stage: Stage, documents: Sequence[Document]) -> list[Path]:
    """The stored results of the documents at a stage."""
    recorded = project.documents.fingerprints(stage, [document.id for document in documents])
    folders = (project.artifacts.path(stage, fingerprint) for fingerprint in set(recorded.values()))
    return [folder for folder in folders if folder.is_dir()]
