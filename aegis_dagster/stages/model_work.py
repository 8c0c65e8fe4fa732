"""Finds the model work left for a document, from its states and artifacts. Calls no model and parses nothing."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aegis_dagster.domain.document_state import DocumentState
from aegis_dagster.domain.estimates import Amount, Done, Experience
from aegis_dagster.domain.identifiers import CollectionName, text_hash
from aegis_dagster.domain.stages import CUT_AT, Document, Stage, Status
from aegis_dagster.errors import DocumentError
from aegis_dagster.ports import Artifacts, DocumentStates
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.enrich import read_descriptions
from aegis_dagster.stages.reading import read_json

CHARACTERS_PER_CHUNK = 800  # of a parsed document: 240 tokens minus the headings


@dataclass(frozen=True, slots=True)
class Remaining:
    """The work left on one document that may need models, or chunking."""

    document: Document
    pictures: int  # to describe
    reads: frozenset[Stage]  # which of embed and graph have work
    texts: Mapping[str, str] = field(default_factory=dict)  # hash to text of the known chunks; may be cached
    new_chunks: int = 0  # chunks whose texts are not known yet
    chunks: int = 0  # that chunking will make; 0: it is chunked already
    estimated: bool = False  # whether its numbers are estimates
    same: str = ""  # equal for documents with equal bytes, whose work is done once
    edited: bool = False  # the catalog knows only another revision so far
    anew: bool = False  # whether chunks whose answers were cut are asked about again


def experience_of(state: DocumentState) -> Done | None:
    """The numbers of a finished document, for estimates of others; None: it is not finished."""
    document = state.document
    parsed, enriched, chunked = (state.recorded.get(stage) for stage in (Stage.PARSE, Stage.ENRICH, Stage.CHUNK))
    if parsed is None or chunked is None or chunked.status is not Status.DONE:
        return None
    if parsed.fingerprint != state.wanted[Stage.PARSE] or document.size_bytes == 0:
        return None
    pictures = int(parsed.facts.get("pictures", 0))
    looked_at = pictures
    if enriched is not None and enriched.status is Status.DONE:
        looked_at = pictures - int(enriched.facts.get("filtered", 0))
    return Done(
        document.collection,
        document.suffix,
        document.size_bytes,
        int(chunked.facts.get("chunks", 0)),
        pictures,
        max(0, looked_at),
    )


def all_remaining(
    documents: Sequence[Document],
    everything: Sequence[Document],
    *,
    known: DocumentStates,
    artifacts: Artifacts,
    asked: Callable[[CollectionName], Collection[Stage]],
    forced: Collection[Stage] = (),
) -> list[Remaining]:
    """The work left on each of these documents, as if it were alone: `each_once` for the work of all.

    everything: the documents that estimates are based on. asked: the stages that call a model for a collection.
    forced: the stages that are done again.
    """
    together = {document.id: document for document in [*everything, *documents]}
    states = {state.document.id: state for state in known.of(together.values())}
    done = (experience_of(state) for state in states.values())
    experience = Experience(one for one in done if one is not None)
    found = (
        remaining(
            states[document.id],
            artifacts=artifacts,
            experience=experience,
            asked=asked(document.collection),
            forced=forced,
        )
        for document in documents
    )
    return [left for left in found if left is not None]


def each_once(work: Sequence[Remaining]) -> list[Remaining]:
    """The same work, with that which is shared by documents with equal bytes only at the first of them."""
    shared: set[str] = set()
    found = []
    for left in work:
        found.append(replace(left, pictures=0, new_chunks=0) if left.same in shared else left)
        shared.add(left.same)
    return found


def with_pictures(left: Remaining, pictures: int) -> Remaining:
    """The same document with another number of pictures to describe; each becomes a chunk."""
    more = pictures - left.pictures
    new_chunks = max(0, left.new_chunks + more) if left.reads else 0
    return replace(left, pictures=pictures, new_chunks=new_chunks, chunks=max(0, left.chunks + more))


def remaining(
    state: DocumentState,
    *,
    artifacts: Artifacts,
    experience: Experience,
    asked: Collection[Stage],
    forced: Collection[Stage] = (),
) -> Remaining | None:
    """The work left on a document; None: nothing.

    asked: the stages that call a model for this document's collection. Work done for equal bytes in another file, or
    before the file was moved, is found by its artifact; work that was refused for a limit is left. forced: the stages
    that are done again; they use the caches, so that only unanswered requests are sent again.
    """
    if _ended(state, forced):
        return None
    document, look = state.document, _Look(state, artifacts, experience, again=Stage.ENRICH in forced)
    pictures = look.pictures() if Stage.ENRICH in asked else 0
    reads = frozenset(
        stage
        for stage in (Stage.EMBED, Stage.GRAPH)
        if stage in asked and (pictures or stage in forced or not state.is_current(stage) or state.was_refused(stage))
    )
    cut = pictures or Stage.CHUNK in forced or not state.is_current(Stage.CHUNK)
    if not reads and not pictures and not cut:
        return None
    anew = Stage.GRAPH in forced or state.was_reset_unread(Stage.GRAPH)
    left = Remaining(document, pictures, reads, same=state.wanted[Stage.CHUNK], edited=state.edited, anew=anew)
    texts = look.texts(pictures) if reads else None
    if texts is not None:
        return replace(left, texts=texts, new_chunks=pictures, chunks=len(texts) + pictures if cut else 0)
    chunks = look.chunks() + pictures
    if not reads:
        return replace(left, chunks=chunks if cut else 0, estimated=not look.parsed)
    return replace(left, new_chunks=chunks, chunks=chunks if cut else 0, estimated=True)


@dataclass(frozen=True, slots=True)
class _Look:
    """The known facts about one document."""

    state: DocumentState
    artifacts: Artifacts
    experience: Experience
    again: bool = False  # pictures that no model would describe are sent again

    @property
    def parsed(self) -> bool:
        return self.artifacts.exists(Stage.PARSE, self.state.wanted[Stage.PARSE])

    def pictures(self) -> int:
        """How many pictures are still to be described."""
        there = self.artifacts.exists(Stage.ENRICH, self.state.wanted[Stage.ENRICH])
        if there or self.state.is_current(Stage.ENRICH):
            more_room = self.state.has_more_room(Stage.ENRICH)
            return self._asked_again() if there and (self.again or more_room) else 0
        document = self.state.document
        if not self.parsed:
            return self._expected().pictures
        return self.experience.looked_at(document.collection, document.suffix, self._parsed_fact("pictures"))

    def texts(self, pictures: int) -> dict[str, str] | None:
        """The chunks' texts by hash if known: final, or without the chunks of pictures still to be described."""
        chunked = self.state.recorded.get(Stage.CHUNK)
        fingerprint = self.state.wanted[Stage.CHUNK]
        same_bytes = self.state.is_done_at(Stage.PARSE)
        if pictures and same_bytes and chunked is not None and not self.artifacts.exists(Stage.CHUNK, fingerprint):
            fingerprint = chunked.fingerprint
        if not self.artifacts.exists(Stage.CHUNK, fingerprint):
            return None
        try:
            chunks = read_chunks(self.artifacts.path(Stage.CHUNK, fingerprint))
        except DocumentError:  # damaged, or swept meanwhile: it is chunked again
            return None
        return {text_hash(chunk.embedded_text): chunk.embedded_text for chunk in chunks}

    def chunks(self) -> int:
        """The estimated number of chunks, without those of pictures."""
        if not self.parsed:
            return self._expected().chunks
        return -(-self._parsed_fact("characters") // CHARACTERS_PER_CHUNK)

    def _asked_again(self) -> int:
        try:
            entries = read_descriptions(self.artifacts.path(Stage.ENRICH, self.state.wanted[Stage.ENRICH]))
        except DocumentError:  # damaged: the run looks up its pictures in the cache
            return 0
        asked = (entry.get(CUT_AT) or (self.again and entry.get("fallback")) for entry in entries)
        return sum(map(bool, asked))

    def _expected(self) -> Amount:
        document = self.state.document
        return self.experience.expected(document.collection, document.suffix, document.size_bytes)

    def _parsed_fact(self, name: str) -> int:
        if self.state.is_done_at(Stage.PARSE):
            return int(self.state.recorded[Stage.PARSE].facts.get(name, 0))
        try:
            manifest = read_json(self.artifacts.path(Stage.PARSE, self.state.wanted[Stage.PARSE]) / "manifest.json")
        except DocumentError:
            return 0
        return int(manifest.get(name, 0))


def _ended(state: DocumentState, forced: Collection[Stage]) -> bool:
    """Whether a stage that all later ones need failed permanently or skipped the document, so that none follows."""
    return any(
        stage not in forced and state.status_at(stage) in (Status.FAILED, Status.SKIPPED) and state.is_current(stage)
        for stage in (Stage.PARSE, Stage.CHUNK)
    )
