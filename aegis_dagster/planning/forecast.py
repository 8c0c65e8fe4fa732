"""Forecasts the model calls of a run and their cost. Calls no model and parses nothing."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from aegis_dagster.composition.models import own_prices
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountKind
from aegis_dagster.domain.forecast import ForecastItem, ForecastRow, ForecastTotals, Measured
from aegis_dagster.domain.forecast import forecast as added_up
from aegis_dagster.domain.identifiers import CollectionName, DocumentId
from aegis_dagster.domain.llm import AskedFor, LLMTask, Picture, TaskType
from aegis_dagster.domain.money import month_of, shown_usd
from aegis_dagster.domain.prices import FREE, Price, Usage
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.embedding.by_provider import ProviderEmbedder
from aegis_dagster.embedding.model_files import MODEL
from aegis_dagster.extraction.by_model import ModelExtractor
from aegis_dagster.llm.attempts import unpriced
from aegis_dagster.llm.prices import PriceList, lines_to_add
from aegis_dagster.llm.token_usage import count_tokens, counted_input
from aegis_dagster.pictures.vision import VisionDescriber
from aegis_dagster.planning.model_work import Remaining, all_remaining
from aegis_dagster.ports import PictureDescription
from aegis_dagster.stores.caches import EmbeddingCache, ExtractionCache

ENOUGH_CALLS = 20  # measured calls needed to use their mean instead of the numbers below
TOKENS_PER_CHUNK = 180  # per chunk that is not known yet, if no chunk is known
DESCRIPTION_TOKENS = 150  # per description: three to six sentences
EXTRACTION_TOKENS = 700  # per extraction: about eight entities and six relations in JSON


@dataclass(frozen=True, slots=True)
class Forecast:
    """The complete forecast."""

    totals: ForecastTotals
    row_documents: Mapping[tuple[Stage | None, str, str], int]  # by stage, provider and model
    documents: int  # with work left for a model
    estimated_documents: int  # those of them not parsed or chunked yet: their calls are estimates
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON contract of `forecast`."""
        return {
            "rows": [self._row(row) for row in self.totals.rows],
            "documents": self.documents,
            "estimated_documents": self.estimated_documents,
            "calls": self.totals.calls,
            "input_tokens": self.totals.input_tokens,
            "output_tokens": self.totals.output_tokens,
            "total_nanousd": self.totals.cost,
            "notes": list(self.notes),
        }

    def _row(self, row: ForecastRow) -> dict[str, Any]:
        values = asdict(row)
        cost, measured = values.pop("cost"), values.pop("measured")
        documents = self.row_documents[row.stage, row.provider, row.model]
        return {**values, "documents": documents, "cost_nanousd": cost, "basis": "measured" if measured else "guess"}


def forecast(project: Project, documents: Sequence[Document], forced: Collection[Stage] = ()) -> Forecast:
    """Forecast a run over these documents; they need not be in the catalog. forced: stages that are done again.

    A "measured" row uses the mean of earlier calls to the model, a "guess" the real prompt, the known texts and the
    numbers above; embedding always uses the texts, because its calls differ in their number of texts.
    Raises ConfigurationError like the run: an embedding model that does not exist, a paid model without a price.
    """
    asking = _Asking(project)
    work = all_remaining(
        documents,
        [*project.documents.all(), *documents],
        known=project.states,
        artifacts=project.artifacts,
        asked=asking.stages,
        forced=forced,
    )
    adding = _Adding(project)
    adding.pictures(work, asking)
    adding.texts_to_embed(work, asking.embedder)
    adding.texts_to_read(work, asking)
    return adding.result(work, asking.notes({document.collection for document in documents}))


class NobodyDescribes:
    """Stands in for OCR, as a forecast describes no picture. Implements PictureDescriber."""

    name = ""
    accepted: tuple[str, ...] = ()

    async def describe(self, picture: object, asked_for: AskedFor) -> PictureDescription:
        """Raises AssertionError."""
        raise AssertionError("A forecast describes no picture.")


class _Asking:
    """What calls models, by collection; None if no model is called."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._describers: dict[CollectionName, VisionDescriber | None] = {}
        self._extractors: dict[CollectionName, ModelExtractor | None] = {}
        self.embedder = self._embedder()

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


class _Adding:
    """Sums the calls."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._prices = PriceList(own_prices(project.settings))
        self._providers = {provider.name: provider for provider in project.choices.providers}
        month = month_of(project.clock.now())
        accounts = project.choices.ledger.accounts(month)
        self._accounts = {each.key.name: each for each in accounts if each.key.kind is AccountKind.PROVIDER}
        self._items: list[ForecastItem] = []
        self._documents: dict[tuple[Stage | None, str, str], set[DocumentId]] = {}

    def pictures(self, work: Iterable[Remaining], asking: _Asking) -> None:
        """Calls that describe pictures."""
        side = self._project.settings.enrich.max_side_pixels
        shown = Picture(b"", "image/jpeg", side, side * 3 // 4)  # most are larger than the size sent
        routes: dict[str, tuple[_Route, Usage]] = {}
        for item in work:
            describer = asking.describer(item.document.collection)
            if describer is None or not item.pictures:
                continue
            if describer.name not in routes:
                task = describer.task_for(shown, AskedFor())
                tokens = Usage(counted_input(task), output_tokens=min(DESCRIPTION_TOKENS, task.max_tokens))
                routes[describer.name] = self._route(task), tokens
            self._add(Stage.ENRICH, *routes[describer.name], item.pictures, [item.document.id], pictures=1)

    def texts_to_embed(self, work: Sequence[Remaining], embedder: ProviderEmbedder | None) -> None:
        """Calls that embed chunks."""
        if embedder is None:
            return
        cache = EmbeddingCache(self._project.engine)
        items = [item for item in work if Stage.EMBED in item.reads]
        hashes = {key for item in items for key in item.texts}
        left = _Texts(items, known=cache.get(embedder.model, hashes))
        route, size = replace(self._route(embedder.task_for((), AskedFor())), measured=None), embedder.texts_per_call
        for calls, texts in ((left.count // size, size), (1, left.count % size)):
            if texts:
                self._add(Stage.EMBED, route, Usage(left.mean_tokens * texts), calls, left.documents)

    def texts_to_read(self, work: Sequence[Remaining], asking: _Asking) -> None:
        """Calls that extract entities and relations."""
        cache = ExtractionCache(self._project.engine)
        by_extractor: dict[str, tuple[ModelExtractor, list[Remaining]]] = {}
        for item in work:
            extractor = asking.extractor(item.document.collection)
            if extractor is not None and Stage.GRAPH in item.reads:
                by_extractor.setdefault(extractor.name, (extractor, []))[1].append(item)
        for extractor, items in by_extractor.values():
            hashes = {key for item in items for key in item.texts}
            left = _Texts(items, known=cache.get(extractor.accepted, hashes))
            if left.count:
                task = extractor.task_for("", AskedFor())
                output = min(EXTRACTION_TOKENS, task.max_tokens)
                usage = Usage(counted_input(task) + left.mean_tokens, output_tokens=output)
                self._add(Stage.GRAPH, self._route(task), usage, left.count, left.documents)

    def result(self, work: Iterable[Remaining], notes: Sequence[str]) -> Forecast:
        """The forecast of everything added."""
        totals = added_up(self._items)
        asked = {document for documents in self._documents.values() for document in documents}
        return Forecast(
            totals,
            {key: len(documents) for key, documents in self._documents.items()},
            documents=len(asked),
            estimated_documents=len({item.document.id for item in work if item.estimated} & asked),
            notes=(*notes, *self._too_dear(totals)),
        )

    def _add(
        self, stage: Stage, route: _Route, guess: Usage, calls: int, documents: Iterable[DocumentId], pictures: int = 0
    ) -> None:
        if calls:
            task_type, provider, model = route.task_type, route.provider, route.model
            self._documents.setdefault((stage, provider, model), set()).update(documents)
            item = ForecastItem(
                stage, task_type, provider, model, calls, route.price, guess, route.measured, pictures=pictures
            )
            self._items.append(item)

    def _route(self, task: LLMTask) -> _Route:
        """The first model that may answer and has budget left; if none has, the first. Raises ConfigurationError."""
        able = self._project.choices.gateway.candidates(task)
        chosen = next((one for one in able if self._left(one.provider) != 0), able[0])
        free = self._providers[chosen.provider].free
        price = FREE if free else self._prices.price(chosen.provider, chosen.model)
        if price is None:
            raise unpriced(chosen.provider, chosen.model, lines_to_add(chosen.provider, chosen.model))
        mean = self._project.ledger_reports.mean_usage(task.task_type, chosen.provider, chosen.model)
        measured = None
        if mean is not None and mean.calls >= ENOUGH_CALLS:
            tokens = round(mean.input_tokens * mean.calls), round(mean.output_tokens * mean.calls)
            measured = Measured(mean.calls, tokens[0], 0, tokens[1], 0)
        return _Route(task.task_type, chosen.provider, chosen.model, price, measured)

    def _left(self, provider: str) -> int | None:
        """Nano-USD that a provider may still spend this month; None: no limit."""
        account = self._accounts.get(provider)
        if account is None or account.remaining is None or self._providers[provider].free:
            return None
        return max(0, account.remaining)

    def _too_dear(self, totals: ForecastTotals) -> list[str]:
        """Notes on providers whose budget is too small."""
        notes = []
        for provider, cost in totals.cost_by_provider().items():
            left = self._left(provider)
            if left is not None and cost > left:
                notes.append(
                    f"{provider} may spend {shown_usd(left)} USD more this month and {shown_usd(cost)} are expected: "
                    "what does not fit goes to the next tier or is deferred; `aegis budget raise` gives it more."
                )
        return notes


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
