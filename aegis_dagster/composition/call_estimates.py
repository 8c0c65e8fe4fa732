"""Estimates the model calls of documents and their cost: for the forecast, and for the limits of one document."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from aegis_dagster.composition.models import own_prices
from aegis_dagster.domain.accounts import Account, AccountKind
from aegis_dagster.domain.forecast import ForecastItem, Measured
from aegis_dagster.domain.forecast import forecast as added_up
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.limits import Demand
from aegis_dagster.domain.llm import AskedFor, LLMTask, Picture, TaskType
from aegis_dagster.domain.money import month_of
from aegis_dagster.domain.prices import FREE, Price, Usage
from aegis_dagster.domain.stages import Stage
from aegis_dagster.embedding.by_provider import ProviderEmbedder
from aegis_dagster.embedding.model_files import MODEL
from aegis_dagster.extraction.by_model import ModelExtractor
from aegis_dagster.llm.attempts import unpriced
from aegis_dagster.llm.prices import PriceList, lines_to_add
from aegis_dagster.llm.token_usage import count_tokens, counted_input
from aegis_dagster.pictures.vision import VisionDescriber
from aegis_dagster.ports import PictureDescription
from aegis_dagster.stages.model_work import Remaining
from aegis_dagster.stores.caches import EmbeddingCache, ExtractionCache

if TYPE_CHECKING:
    from aegis_dagster.composition.project import Project

ENOUGH_CALLS = 20  # measured calls needed to use their mean instead of the numbers below
TOKENS_PER_CHUNK = 180  # per chunk that is not known yet, if no chunk is known
DESCRIPTION_TOKENS = 150  # per description: three to six sentences
EXTRACTION_TOKENS = 700  # per extraction: about eight entities and six relations in JSON


class NobodyDescribes:
    """Stands in for OCR, as a forecast describes no picture. Implements PictureDescriber."""

    name = ""
    accepted: tuple[str, ...] = ()

    async def describe(self, picture: object, asked_for: AskedFor) -> PictureDescription:
        """Raises AssertionError."""
        raise AssertionError("A forecast describes no picture.")


class ModelsAsked:
    """What calls models, by collection; None if no model is called."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._describers: dict[CollectionName, VisionDescriber | None] = {}
        self._extractors: dict[CollectionName, ModelExtractor | None] = {}
        self.embedder = self._embedder()
        self.prices = PriceList(own_prices(project.settings))

    def describer(self, collection: CollectionName) -> VisionDescriber | None:
        """The describer that calls a model for pictures."""
        if collection not in self._describers:
            found = self._project.choices.describer(collection, NobodyDescribes())
            wanted = self._project.identities.rules_for(collection).enrich and isinstance(found, VisionDescriber)
            self._describers[collection] = found if wanted and isinstance(found, VisionDescriber) else None
        return self._describers[collection]

    def extractor(self, collection: CollectionName) -> ModelExtractor | None:
        """The extractor that calls a model for chunks."""
        if collection not in self._extractors:
            found = self._project.choices.extractor(collection)
            wanted = self._project.identities.rules_for(collection).graph
            self._extractors[collection] = found if wanted and isinstance(found, ModelExtractor) else None
        return self._extractors[collection]

    def stages(self, collection: CollectionName) -> set[Stage]:
        """The stages that call a model for a collection."""
        asked = {
            Stage.ENRICH: self.describer(collection),
            Stage.EMBED: self.embedder,
            Stage.GRAPH: self.extractor(collection),
        }
        return {stage for stage, who in asked.items() if who is not None}

    def notes(self, collections: Collection[CollectionName]) -> list[str]:
        """Notes on the stages that call no model for any collection."""
        asked = {stage for collection in collections for stage in self.stages(collection)}
        without = {
            Stage.ENRICH: "pictures are read by OCR or not at all",
            Stage.EMBED: f"{MODEL} embeds on this machine",
            Stage.GRAPH: "the graph is found by statistics or not at all",
        }
        return [f"{stage}: {how}; no model is asked." for stage, how in without.items() if stage not in asked]

    def _embedder(self) -> ProviderEmbedder | None:
        if self._project.settings.embed.model == MODEL:  # building it would export the model
            return None
        found = self._project.choices.embedder
        return found if isinstance(found, ProviderEmbedder) else None


@dataclass(frozen=True, slots=True)
class _Route:
    """The model that would be called first, and the known facts about it."""

    task_type: TaskType
    provider: str
    model: str
    price: Price
    measured: Measured | None


@dataclass(frozen=True, slots=True)
class Counted:
    """The calls for some documents."""

    items: list[ForecastItem] = field(default_factory=list)
    documents: dict[tuple[Stage | None, str, str], set[DocumentId]] = field(default_factory=dict)

    def add(
        self, stage: Stage, route: _Route, guess: Usage, calls: int, documents: Iterable[DocumentId], pictures: int = 0
    ) -> None:
        """Add calls of one kind."""
        if calls:
            task_type, provider, model = route.task_type, route.provider, route.model
            self.documents.setdefault((stage, provider, model), set()).update(documents)
            item = ForecastItem(
                stage, task_type, provider, model, calls, route.price, guess, route.measured, pictures=pictures
            )
            self.items.append(item)


class CallEstimates:
    """Counts the calls of a piece of work. Caches, budgets and the means of earlier calls are read once.

    Every method raises ConfigurationError like the run: a paid model without a price.
    """

    def __init__(self, project: Project, asking: ModelsAsked, work: Sequence[Remaining]) -> None:
        """work: everything that will be asked about."""
        self._project = project
        self._asking = asking
        self._providers = {provider.name: provider for provider in project.choices.providers}
        self._routes: dict[str, tuple[_Route, Usage]] = {}
        self._embedded: Collection[str] = ()
        self._read: dict[str, Collection[str]] = {}
        self._look_up(work)

    def counted(self, work: Sequence[Remaining]) -> Counted:
        """The calls for all of these documents together; equal texts are sent once."""
        found = Counted()
        self._add_pictures(work, found)
        self._add_texts_to_embed(work, found)
        self._add_texts_to_read(work, found)
        return found

    def demand(self, item: Remaining) -> Demand:
        """What one document needs, as a forecast for it alone says."""
        totals = added_up(self.counted([item]).items)
        return Demand(item.chunks, totals.calls, totals.cost, item.estimated)

    def left(self, provider: str) -> int | None:
        """Nano-USD that a provider may still spend this month; None: no limit."""
        account = self._accounts.get(provider)
        if account is None or account.remaining is None or self._providers[provider].free:
            return None
        return max(0, account.remaining)

    @cached_property
    def _accounts(self) -> Mapping[str, Account]:
        month = month_of(self._project.clock.now())
        accounts = self._project.choices.ledger.accounts(month)
        return {each.key.name: each for each in accounts if each.key.kind is AccountKind.PROVIDER}

    def _look_up(self, work: Sequence[Remaining]) -> None:
        """Read which texts the caches hold."""
        embedder = self._asking.embedder
        if embedder is not None:
            hashes = {key for item in work if Stage.EMBED in item.reads for key in item.texts}
            self._embedded = EmbeddingCache(self._project.engine).get(embedder.model, hashes)
        cache = ExtractionCache(self._project.engine)
        for extractor, items in self._by_extractor(work):
            hashes = {key for item in items for key in item.texts}
            cut = hashes - {key for item in items if item.anew for key in item.texts}
            most_tokens = self._project.identities.answer_tokens.get(Stage.GRAPH, 0)
            self._read[extractor.name] = cache.get(extractor.accepted, hashes) | cache.get_cut(
                extractor.name, cut, most_tokens
            )

    def _by_extractor(self, work: Iterable[Remaining]) -> list[tuple[ModelExtractor, list[Remaining]]]:
        found: dict[str, tuple[ModelExtractor, list[Remaining]]] = {}
        for item in work:
            extractor = self._asking.extractor(item.document.collection)
            if extractor is not None and Stage.GRAPH in item.reads:
                found.setdefault(extractor.name, (extractor, []))[1].append(item)
        return list(found.values())

    def _add_pictures(self, work: Iterable[Remaining], to: Counted) -> None:
        side = self._project.settings.enrich.max_side_pixels
        shown = Picture(b"", "image/jpeg", side, side * 3 // 4)  # most are larger than the size sent
        for item in work:
            describer = self._asking.describer(item.document.collection)
            if describer is None or not item.pictures:
                continue
            if describer.name not in self._routes:
                task = describer.task_for(shown, AskedFor())
                tokens = Usage(counted_input(task), output_tokens=min(DESCRIPTION_TOKENS, task.max_tokens))
                self._routes[describer.name] = self._route(task), tokens
            to.add(Stage.ENRICH, *self._routes[describer.name], item.pictures, [item.document.id], pictures=1)

    def _add_texts_to_embed(self, work: Sequence[Remaining], to: Counted) -> None:
        embedder = self._asking.embedder
        left = _Texts((item for item in work if Stage.EMBED in item.reads), known=self._embedded)
        if embedder is None or not left.count:
            return
        if embedder.model not in self._routes:
            route = replace(self._route(embedder.task_for((), AskedFor())), measured=None)
            self._routes[embedder.model] = route, Usage()
        route, size = self._routes[embedder.model][0], embedder.texts_per_call
        for calls, texts in ((left.count // size, size), (1, left.count % size)):
            if texts:
                to.add(Stage.EMBED, route, Usage(left.mean_tokens * texts), calls, left.documents)

    def _add_texts_to_read(self, work: Sequence[Remaining], to: Counted) -> None:
        for extractor, items in self._by_extractor(work):
            left = _Texts(items, known=self._read[extractor.name])
            if not left.count:
                continue
            if extractor.name not in self._routes:
                task = extractor.task_for("", AskedFor())
                tokens = Usage(counted_input(task), output_tokens=min(EXTRACTION_TOKENS, task.max_tokens))
                self._routes[extractor.name] = self._route(task), tokens
            route, prompt = self._routes[extractor.name]
            usage = replace(prompt, input_tokens=prompt.input_tokens + left.mean_tokens)
            to.add(Stage.GRAPH, route, usage, left.count, left.documents)

    def _route(self, task: LLMTask) -> _Route:
        """The first model that may answer and has budget left; if none has, the first."""
        able = self._project.choices.asked.candidates(task)
        chosen = next((one for one in able if self.left(one.provider) != 0), able[0])
        free = self._providers[chosen.provider].free
        price = FREE if free else self._asking.prices.price(chosen.provider, chosen.model)
        if price is None:
            raise unpriced(chosen.provider, chosen.model, lines_to_add(chosen.provider, chosen.model))
        mean = self._project.ledger_reports.mean_usage(task.task_type, chosen.provider, chosen.model)
        measured = None
        if mean is not None and mean.calls >= ENOUGH_CALLS:
            tokens = round(mean.input_tokens * mean.calls), round(mean.output_tokens * mean.calls)
            measured = Measured(mean.calls, tokens[0], 0, tokens[1], 0)
        return _Route(task.task_type, chosen.provider, chosen.model, price, measured)


class _Texts:
    """The texts still to be sent, each once: known texts that are not cached, and future ones."""

    def __init__(self, items: Iterable[Remaining], known: Collection[str]) -> None:
        missing: dict[str, str] = {}
        new = 0
        self.documents: set[DocumentId] = set()
        for item in items:
            mine = {key: text for key, text in item.texts.items() if key not in known}
            missing.update(mine)
            new += item.new_chunks
            if mine or item.new_chunks:
                self.documents.add(item.document.id)
        self.count = len(missing) + new
        tokens = sum(count_tokens(text) for text in missing.values())
        self.mean_tokens = -(-tokens // len(missing)) if missing else TOKENS_PER_CHUNK
