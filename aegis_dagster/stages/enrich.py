"""The enrich stage: describes the pictures of a document.

Artifact: `descriptions.json`, one entry per picture: {"picture": JSON pointer, "page": 1-based or null,
"file": relative to the parse artifact, "text", "described_by", "skipped": reason or error code or null, "fallback": why
text read by OCR replaces the description, or "", and if the model's answers were cut, "cut_at": the most tokens they
were allowed}.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aegis_dagster.domain.answers import storable
from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.domain.pictures import PictureFacts, reason_to_skip
from aegis_dagster.domain.stages import CUT_AT, Document, Failure, Outcome, Stage, Status, unread_facts
from aegis_dagster.errors import Deferred, DocumentError, FailureCode, ModelsUnavailable, OperatorError, ServiceError
from aegis_dagster.ports import PictureDescriber, PictureDescription
from aegis_dagster.stages.concurrency import each
from aegis_dagster.stages.context import StageReport, Workbench
from aegis_dagster.stages.reading import read_json, sound_folder, usable
from aegis_dagster.stages.runner import Work, run_each

DESCRIPTIONS = "descriptions.json"
_ERROR_CODES = frozenset(map(str, FailureCode))  # a picture that was left out, not passed over
STANDS_IN_FOR = (FailureCode.CONTENT_REFUSED, FailureCode.CONTEXT_TOO_LONG, FailureCode.BAD_ANSWER)
_FACTS_SECONDS = 120.0  # time limit for measuring all pictures of a document

logger = logging.getLogger(__name__)


async def enrich_images(documents: Sequence[Document], bench: Workbench, *, force: bool = False) -> StageReport:
    """Describe the pictures of stale documents. Raises ServiceError when a store or the describer is broken."""
    # The same logo in ten documents is described once.
    shared = _Shared()

    async def enrich(work: Work, bench: Workbench, report: StageReport) -> Outcome:
        fingerprint = work.fingerprint(Stage.ENRICH)
        if not bench.identities.rules_for(work.document.collection).enrich:
            return Outcome(Status.SKIPPED, {"why": "enrichment is off for this collection"})
        if work.state.recorded[Stage.PARSE].facts.get("pictures") == 0:  # said by the manifest: nothing need be read
            return Outcome(Status.SKIPPED, {"why": "no pictures"})
        parsed = await asyncio.to_thread(sound_folder, bench.artifacts, Stage.PARSE, work.fingerprint(Stage.PARSE))
        pictures = pictures_of(parsed)
        if not pictures:
            return Outcome(Status.SKIPPED, {"why": "no pictures"})
        if work.force or not await asyncio.to_thread(usable, bench.artifacts, Stage.ENRICH, fingerprint):
            looking = _Looking(work.state, bench, report, shared, force=work.asked)
            entries = await looking.describe_all(parsed, pictures)
            await asyncio.to_thread(_store, entries, work, bench)
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


def _store(entries: list[dict[str, Any]], work: Work, bench: Workbench) -> None:
    """Store the descriptions. Passages with other descriptions under the same fingerprint are made again."""
    fingerprint = work.fingerprint(Stage.ENRICH)
    file = bench.artifacts.path(Stage.ENRICH, fingerprint) / DESCRIPTIONS
    text = json.dumps(entries, ensure_ascii=False, indent=1)
    changed = work.force and not (file.is_file() and file.read_bytes() == text.encode())
    with bench.artifacts.staging(Stage.ENRICH, fingerprint, replace=work.force) as folder:
        (folder / DESCRIPTIONS).write_text(text, "utf-8")
    if changed:
        bench.artifacts.delete(Stage.CHUNK, work.fingerprint(Stage.CHUNK))


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the documents of a run share, by describer and picture content."""

    looks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)
    cut: dict[tuple[str, str], PictureDescription] = field(default_factory=dict)  # not in the cache


@dataclass(frozen=True, slots=True)
class _Looking:
    """Describes the pictures of one document concurrently."""

    state: DocumentState
    bench: Workbench
    report: StageReport
    shared: _Shared
    force: bool  # ask a model again about pictures that OCR described in its place

    async def describe_all(self, parsed: Path, pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One entry per picture, in the document's order."""
        paths = [parsed / picture["file"] for picture in pictures]
        facts = await self._measured(paths)
        self._hold_to_limits(facts)
        entries: list[dict[str, Any]] = [{} for _ in pictures]
        put_off: list[Deferred] = []

        async def one(index: int) -> None:
            try:
                entries[index] = {**pictures[index], **await self._entry(paths[index], facts[index])}
            except Deferred as error:  # the others continue: their results are kept in the cache
                put_off.append(error)

        await each(range(len(pictures)), one, at_once=self.bench.options.calls_at_once)
        if put_off:
            raise put_off[0]
        return entries

    async def _measured(self, paths: list[Path]) -> list[dict[str, Any] | None]:
        """The facts of each picture; None: it is unreadable. One that no worker survives costs the others nothing."""
        try:
            answer = await self.bench.tasks.run(
                "picture_facts", {"paths": [str(path) for path in paths]}, timeout_seconds=_FACTS_SECONDS
            )
        except DocumentError:
            if len(paths) == 1:
                return [None]
            return [facts for path in paths for facts in await self._measured([path])]
        facts: list[dict[str, Any] | None] = answer["facts"]
        return facts

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
            try:
                seen = await self._seen(path, values["content_hash"])
            except (ServiceError, OperatorError):
                raise
            except ModelsUnavailable as error:
                if not error.perhaps_content:
                    raise
                skipped = error.as_failure().code
            except Deferred:
                raise
            except Exception as error:  # whatever is wrong with one picture does not affect the document
                failure = Failure.of(error)
                logger.warning(
                    "A picture of %s is left out: %s (%s).", self.state.document.id, failure.code, type(error)
                )
                skipped = failure.code
        entry = {
            "text": seen.text,
            "described_by": seen.described_by,
            "skipped": skipped,
            "fallback": seen.fallback,
        }
        return entry | ({CUT_AT: self.bench.identities.answer_tokens.get(Stage.ENRICH, 0)} if seen.cut else {})

    async def _seen(self, path: Path, content_hash: str) -> PictureDescription:
        """The description, made once at a time for equal pictures."""
        key = (self.bench.describer(self.state.document.collection).name, content_hash)
        async with self.shared.looks.setdefault(key, asyncio.Lock()):
            if key in self.shared.cut:
                return self.shared.cut[key]
            seen = await self._look(path, content_hash)
            if seen.cut:
                self.shared.cut[key] = seen
            return seen

    async def _look(self, path: Path, content_hash: str) -> PictureDescription:
        known = self._known(content_hash)
        if known is not None:
            return known
        describer, document = self.bench.describer(self.state.document.collection), self.state.document
        description = await describer.describe(path, AskedFor(document.collection, document.id, Stage.ENRICH))
        description = replace(description, text=storable(description.text))
        said_by = f"{describer.name}!{description.fallback}" if description.fallback else description.described_by
        said_by = self._cut_by(describer) if description.cut else said_by
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
        cut = None if self.force else self.bench.picture_cache.get([self._cut_by(describer)], content_hash)
        if cut is None:
            return None
        return replace(cut, cut=True, fallback="" if cut.described_by in describer.accepted else str(FailureCode.CUT))

    def _cut_by(self, describer: PictureDescriber) -> str:
        """The name under which what a model began to say is kept, until it may say more."""
        return f"{describer.name}!cut/{self.bench.identities.answer_tokens.get(Stage.ENRICH, 0)}"


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
    cut = [entry[CUT_AT] for entry in entries if CUT_AT in entry]
    codes = Counter(entry["skipped"] for entry in entries if entry["skipped"] in _ERROR_CODES)
    return {
        "pictures": len(entries),
        "described": sum(1 for entry in entries if entry["text"]),
        "without_text": sum(1 for entry in entries if not entry["text"] and entry["skipped"] is None),
        "filtered": sum(1 for entry in entries if entry["skipped"] is not None),
        "fallback": sum(1 for entry in entries if entry.get("fallback")),
        **unread_facts(codes | Counter({FailureCode.CUT: len(cut)}), min(cut, default=0)),
    }
