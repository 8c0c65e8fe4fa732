"""The enrich stage: describes the pictures of a document.

Artifact: `descriptions.json`, one entry per picture: {"picture": JSON pointer, "page": 1-based or null,
"file": relative to the parse artifact, "text", "described_by", "skipped": reason or null, "fallback": why text read
by OCR replaces the description, or ""}.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.pictures import PictureFacts, reason_to_skip
from aegis_dagster.domain.stages import MAX_ATTEMPTS, Document, Outcome, Stage, Status
from aegis_dagster.errors import Deferred, DocumentError, FailureCode, ModelsUnavailable
from aegis_dagster.ports import PictureDescription
from aegis_dagster.stages.concurrency import each
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.reading import read_json
from aegis_dagster.stages.runner import Work, run_each

DESCRIPTIONS = "descriptions.json"
STANDS_IN_FOR = (FailureCode.CONTENT_REFUSED, FailureCode.CONTEXT_TOO_LONG, FailureCode.BAD_ANSWER)
_FACTS_SECONDS = 120.0  # time limit for measuring all pictures of a document


async def enrich_images(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Describe the pictures of stale documents. Raises ServiceError when a store or the describer is broken."""
    # One lock per picture content: the same logo in ten documents is described once.
    looks: dict[str, asyncio.Lock] = {}

    async def enrich(work: Work, bench: Workbench, report: StageReport) -> Outcome:
        fingerprint = work.fingerprint(Stage.ENRICH)
        if not bench.identities.rules_for(work.document.collection).enrich:
            return Outcome(Status.SKIPPED, {"why": "enrichment is off for this collection"})
        parsed = bench.artifacts.path(Stage.PARSE, work.fingerprint(Stage.PARSE))
        pictures = pictures_of(parsed)
        if not pictures:
            return Outcome(Status.SKIPPED, {"why": "no pictures"})
        if work.force or not bench.artifacts.exists(Stage.ENRICH, fingerprint):
            before = work.state.recorded.get(Stage.ENRICH)
            last = before is not None and before.fingerprint == fingerprint and before.attempts >= MAX_ATTEMPTS - 1
            looking = _Looking(work.state, bench, report, looks, last_attempt=last, force=work.force)
            entries = await looking.describe_all(parsed, pictures)
            with bench.artifacts.staging(Stage.ENRICH, fingerprint, replace=work.force) as folder:
                (folder / DESCRIPTIONS).write_text(json.dumps(entries, ensure_ascii=False, indent=1), "utf-8")
        return Outcome(Status.DONE, _facts(read_descriptions(bench.artifacts.path(Stage.ENRICH, fingerprint))))

    at_once = max(bench.options.concurrency, bench.options.calls_at_once)
    return await run_each(Stage.ENRICH, documents, bench, enrich, force=force, side_by_side=at_once)


def pictures_of(parsed: Path) -> list[dict[str, Any]]:
    """The pictures of a parsed document that were saved as files: {"picture", "page", "file"}.

    Raises DocumentError ARTIFACT_DAMAGED.
    """
    document = read_json(parsed / "document.json")
    pictures = []
    for item in document.get("pictures", []):
        uri = (item.get("image") or {}).get("uri")
        if uri:
            page = item["prov"][0]["page_no"] if item.get("prov") else None
            pictures.append({"picture": item["self_ref"], "page": page, "file": uri})
    return pictures


def read_descriptions(enriched: Path) -> list[dict[str, Any]]:
    """The entries of an enrich artifact; empty if the document has none."""
    file = enriched / DESCRIPTIONS
    entries: list[dict[str, Any]] = read_json(file) if file.is_file() else []
    return entries


@dataclass(frozen=True, slots=True)
class _Looking:
    """Describes the pictures of one document concurrently."""

    state: DocumentState
    bench: Workbench
    report: StageReport
    looks: dict[str, asyncio.Lock]
    last_attempt: bool
    force: bool  # ask a model again about pictures that OCR described in its place

    async def describe_all(self, parsed: Path, pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One entry per picture, in the document's order."""
        paths = [parsed / picture["file"] for picture in pictures]
        answer = await self.bench.tasks.run(
            "picture_facts", {"paths": [str(path) for path in paths]}, timeout_seconds=_FACTS_SECONDS
        )
        self._hold_to_limits(answer["facts"])
        entries: list[dict[str, Any]] = [{} for _ in pictures]
        put_off: list[Deferred] = []

        async def one(index: int) -> None:
            try:
                entries[index] = {**pictures[index], **await self._entry(paths[index], answer["facts"][index])}
            except Deferred as error:  # the others continue: their results are kept in the cache
                put_off.append(error)

        await each(range(len(pictures)), one, at_once=self.bench.options.calls_at_once)
        if put_off:
            raise put_off[0]
        return entries

    def _hold_to_limits(self, facts: list[dict[str, Any] | None]) -> None:
        """Raise OverLimit before the first picture is looked at; equal pictures and known ones need no call."""
        wanted = {each["content_hash"] for each in facts if each is not None and _reason(each, self.bench) is None}
        pictures = sum(self._known(content_hash) is None for content_hash in wanted)
        document = self.state.document.id
        if pictures:
            refused = self.bench.limiter.refused(
                Stage.ENRICH, [self.state], force=self.force, pictures={document: pictures}
            )
            if document in refused:
                raise refused[document]

    async def _entry(self, path: Path, values: dict[str, Any] | None) -> dict[str, Any]:
        seen, skipped = PictureDescription("", ""), _reason(values, self.bench)
        if skipped is None and values is not None:
            content_hash = values["content_hash"]
            try:
                async with self.looks.setdefault(content_hash, asyncio.Lock()):
                    seen = await self._look(path, content_hash)
            except (DocumentError, ModelsUnavailable) as error:
                failure = error if isinstance(error, DocumentError) else error.as_failure()
                if isinstance(error, ModelsUnavailable) and not error.perhaps_content:
                    raise
                if failure.retryable and not self.last_attempt:
                    raise failure from error
                skipped = failure.code  # one unreadable picture does not affect the others
        return {
            "text": seen.text,
            "described_by": seen.described_by,
            "skipped": skipped,
            "fallback": seen.fallback,
        }

    async def _look(self, path: Path, content_hash: str) -> PictureDescription:
        describer, document = self.bench.describer(self.state.document.collection), self.state.document
        known = self._known(content_hash)
        if known is not None:
            return known
        asked_for = AskedFor(document.collection, document.id, Stage.ENRICH)
        description = await describer.describe(path, asked_for)
        said_by = f"{describer.name}!{description.fallback}" if description.fallback else description.described_by
        self.bench.picture_cache.put(said_by, content_hash, description)
        self.report.work["pictures_described"] += 1
        return description

    def _known(self, content_hash: str) -> PictureDescription | None:
        """The cached description of a picture, if any."""
        describer = self.bench.describer(self.state.document.collection)
        known = self.bench.picture_cache.get(describer.accepted, content_hash)
        if known is not None:
            return known
        for code in () if self.force else STANDS_IN_FOR:  # a picture that was rejected once is not paid for again
            known = self.bench.picture_cache.get([f"{describer.name}!{code}"], content_hash)
            if known is not None:
                return replace(known, fallback=code)
        return None


def _reason(values: dict[str, Any] | None, bench: Workbench) -> str | None:
    """Why a picture is not described; None when it is."""
    if values is None:
        return "unreadable"
    limits = bench.options
    return reason_to_skip(
        PictureFacts(**values),
        min_side_pixels=limits.min_side_pixels,
        max_aspect=limits.max_aspect,
        min_colors=limits.min_colors,
    )


def _facts(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "pictures": len(entries),
        "described": sum(1 for entry in entries if entry["text"]),
        "without_text": sum(1 for entry in entries if not entry["text"] and entry["skipped"] is None),
        "filtered": sum(1 for entry in entries if entry["skipped"] is not None),
        "fallback": sum(1 for entry in entries if entry.get("fallback")),
    }
