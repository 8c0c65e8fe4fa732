"""Builds everything that calls models: gateway, ledger, describers, extractors and embedders."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING

from aegis_dagster.domain.llm import Classification, LLMResponse, LLMTask, TaskType
from aegis_dagster.domain.routing import Candidate, candidates
from aegis_dagster.embedding.model_files import MODEL
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.llm.providers import PICTURE_TOKENS, Model, Provider
from aegis_dagster.settings import Settings
from aegis_dagster.settings.keys import provider_access

if TYPE_CHECKING:  # what calls models is imported when it is built: most commands only name them
    from sqlalchemy.engine import Engine

    from aegis_dagster.domain.accounts import AccountLimits
    from aegis_dagster.domain.prices import Price, Tier
    from aegis_dagster.embedding.by_provider import ProviderEmbedder
    from aegis_dagster.llm.gateway import Gateway
    from aegis_dagster.ports import Clock, Embedder, EvidenceExtractor, ModelGateway, PictureDescriber
    from aegis_dagster.settings.llm import ModelSettings, PriceSettings, ProviderSettings, RateSettings
    from aegis_dagster.stores.ledger.ledger import Ledger

log = logging.getLogger(__name__)


class _Named:
    """Stands in for the gateway where models are named and not called. Implements `ports.ModelGateway`."""

    def __init__(self, providers: list[Provider]) -> None:
        self._tiers = [provider.tier() for provider in providers]

    def candidates(self, task: LLMTask) -> list[Candidate]:
        """As those of the gateway."""
        return candidates(task, self._tiers)

    async def ask(self, task: LLMTask) -> LLMResponse:
        """Raises AssertionError."""
        raise AssertionError("These models are only named.")


class Models:
    """Everything that calls models, for one run. Each part is built when first used; `aclose` closes what was built."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        clock: Clock,
        run_id: str,
        *,
        patience_seconds: float | None = None,
        only_named: bool = False,
    ) -> None:
        """patience_seconds: try each provider once and no longer than this; None: as the settings say.

        only_named: what is built here has its name and its prices, and calls nothing.
        """
        self._settings = settings
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._run_id = run_id
        self._engine = engine
        self._only_named = only_named

    @cached_property
    def providers(self) -> list[Provider]:
        """The configured providers in the order of the tiers."""
        found, most = configured_providers(self._settings), self._patience_seconds
        if most is None:
            return found
        return [replace(each, attempts=1, timeout_seconds=min(each.timeout_seconds, most)) for each in found]

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger that accounts for the calls."""
        from aegis_dagster.stores.ledger.ledger import Ledger

        return Ledger(self._engine, self._clock, account_limits(self._settings))

    @cached_property
    def gateway(self) -> Gateway:
        """The only way to a model."""
        from aegis_dagster.llm.client import Wire
        from aegis_dagster.llm.gateway import Gateway, GatewayOptions
        from aegis_dagster.llm.price_slips import REMEDY, slips
        from aegis_dagster.llm.prices import PriceList

        llm, own = self._settings.llm, own_prices(self._settings)
        for slip in slips(own):
            log.warning("%s Remedy: %s", slip, REMEDY)
        return Gateway(
            self.providers,
            PriceList(own),
            self.ledger,
            Wire(),
            self._clock,
            run_id=self._run_id,
            options=GatewayOptions(
                max_wait_seconds=llm.max_wait_seconds,
                rest_after_failures=llm.rest_after_failures,
                rest_seconds=llm.rest_seconds,
                classification=self.classification,
            ),
        )

    @cached_property
    def asked(self) -> ModelGateway:
        """The gateway, or what names its models."""
        return _Named(self.providers) if self._only_named else self.gateway

    def describer(self, collection: str, ocr: PictureDescriber) -> PictureDescriber:
        """The describer for a collection's pictures. Raises as `describer_of` and `classification`."""
        return self.describer_of(self.classification(collection), ocr)

    def describer_of(self, classification: Classification, ocr: PictureDescriber) -> PictureDescriber:
        """The describer for the pictures. Raises ConfigurationError if a model is wanted but none may see them."""
        enrich = self._settings.enrich
        if not self._by_model(enrich.describer, TaskType.IMAGE_DESCRIPTION, classification):
            return ocr
        from aegis_dagster.pictures.vision import VisionDescriber

        return VisionDescriber(
            self.asked,
            ocr,
            classification=classification,
            quality=enrich.quality,
            max_side_pixels=enrich.max_side_pixels,
            max_tokens=enrich.max_answer_tokens,
        )

    def extractor(self, collection: str) -> EvidenceExtractor:
        """The extractor for a collection's chunks. Raises as `extractor_of` and `classification`."""
        return self.extractor_of(self.classification(collection))

    def extractor_of(self, classification: Classification) -> EvidenceExtractor:
        """The extractor for the chunks. Raises ConfigurationError if a model is wanted but none may see them."""
        graph = self._settings.graph
        if not self._by_model(graph.extractor, TaskType.ENTITY_EXTRACTION, classification):
            from aegis_dagster.extraction.statistical import StatisticalExtractor

            return StatisticalExtractor(
                max_entities=graph.max_entities_per_chunk, max_relations=graph.max_relations_per_chunk
            )
        from aegis_dagster.extraction.by_model import ModelExtractor

        return ModelExtractor(
            self.asked, classification=classification, quality=graph.quality, max_tokens=graph.max_answer_tokens
        )

    def expect_chats(self, collection: str) -> None:
        """Begin to load what a chat needs, which takes seconds, if a model will read the collection's documents."""
        from aegis_dagster.extraction.by_model import ModelExtractor
        from aegis_dagster.llm.litellm_chat import begin_loading

        with suppress(ConfigurationError):  # the graph stage raises it
            if self._settings.policy(collection).graph and isinstance(self.extractor(collection), ModelExtractor):
                begin_loading()

    @cached_property
    def embedding_shape(self) -> tuple[str, int]:
        """Name of the embedding model and length of its vectors, without building it. Raises as `embedder`."""
        from aegis_dagster.embedding.minilm import DIMENSIONS, IDENTITIES

        if self._settings.embed.model == MODEL:
            return IDENTITIES[self._settings.embed.precision], DIMENSIONS
        return self.embedder.model, self.embedder.dimensions

    @property
    def embedding_is_paid(self) -> bool:
        """Whether a paid provider embeds. Raises as `embedder`."""
        name = self._settings.embed.model
        return name != MODEL and not self._embedding_model(name)[0].free

    @cached_property
    def embedder(self) -> Embedder:
        """The embedding model. Raises ConfigurationError if it is not configured, or a collection must not use it."""
        name = self._settings.embed.model
        if name == MODEL:
            from aegis_dagster.composition.minilm import minilm_for_documents

            return minilm_for_documents(self._settings)
        provider, model = self._embedding_model(name)
        confidential = self._settings.confidential
        if confidential and not provider.local:
            raise ConfigurationError(
                f"embed.model {name} is not a local model, but some collections are local_only: {confidential}.",
                remedy="choose a local embedding model: one vector store cannot mix two models.",
            )
        return self._by_provider(provider, model)

    def embedder_of(self, collection: str, alias: str) -> Embedder:
        """The model whose vectors a Qdrant collection holds, even if the settings give them another length by now.

        Raises ConfigurationError: it is not configured, or must not see the questions.
        """
        from aegis_dagster.composition.minilm import minilm_for_questions
        from aegis_dagster.embedding.minilm import IDENTITIES
        from aegis_dagster.stores.vectors.points import model_in, physical_name

        if collection in (physical_name(alias, model) for model in IDENTITIES.values()):
            return minilm_for_questions(self._settings)  # whatever device made the stored vectors
        length = re.search(r"_(\d+)$", collection)
        dimensions = int(length[1]) if length else 0
        confidential = self._settings.confidential
        for provider in self.providers:
            for model in provider.models.values():
                name = f"{provider.name}/{model.name}/{dimensions}"
                if TaskType.EMBEDDING not in model.tasks or physical_name(alias, name) != collection:
                    continue
                if confidential and not provider.local:  # a question may reveal confidential content
                    raise ConfigurationError(
                        f"The stored vectors are of {name}, which is not local and must not see questions about "
                        "collections that are local_only.",
                        remedy="run `aegis ingest` until every document is embedded by the model in embed.model.",
                    )
                return self._by_provider(provider, replace(model, dimensions=dimensions))
        raise ConfigurationError(
            f"The stored vectors are of a model that is not configured now ({model_in(collection, alias)}).",
            remedy="configure its provider again, or run `aegis ingest` until every document is embedded by the model "
            "in embed.model.",
        )

    def _by_provider(self, provider: Provider, model: Model) -> ProviderEmbedder:
        from aegis_dagster.embedding.by_provider import ProviderEmbedder

        return ProviderEmbedder(
            self.asked,
            provider.name,
            model.name,
            dimensions=model.dimensions or 0,
            max_tokens=model.max_input_tokens or 512,
            texts_per_call=model.texts_per_call,
        )

    def classification(self, collection: str) -> Classification:
        """Which models may see a collection's content. Raises ConfigurationError if `collections` nearly names it."""
        local_only = self._settings.policy(collection).local_only
        return Classification.CONFIDENTIAL if local_only else Classification.INTERNAL

    async def aclose(self) -> None:
        """Close the connections and the ledger's writer, if they were opened."""
        try:
            if "gateway" in self.__dict__:
                await self.gateway.aclose()
        finally:
            if "ledger" in self.__dict__:
                await self.ledger.aclose()

    def _by_model(self, choice: str, task_type: TaskType, classification: Classification) -> bool:
        task = LLMTask(task_type, classification=classification)
        able = bool(self.providers) and bool(self.asked.candidates(task))
        if choice == "model" and not able:
            local = " that is local" if classification is Classification.CONFIDENTIAL else ""
            raise ConfigurationError(
                f"A model is wanted for {task_type}, but no configured provider{local} has one.",
                remedy="set OLLAMA_HOST, DASHSCOPE_API_KEY or OPENAI_API_KEY, or a provider in llm.providers; "
                "docs/guides/COSTS.md has an example.",
            )
        return able and choice in ("auto", "model")

    def _embedding_model(self, name: str) -> tuple[Provider, Model]:
        provider_name, _, model_name = name.partition("/")
        for provider in self.providers:
            model = provider.models.get(model_name)
            if provider.name == provider_name and model is not None and TaskType.EMBEDDING in model.tasks:
                if model.dimensions is None:
                    raise ConfigurationError(
                        f"The length of the vectors of {name} is not known.",
                        remedy=f"set llm.providers.{provider_name}.models.{model_name}.dimensions.",
                    )
                return provider, model
        raise ConfigurationError(
            f"embed.model {name!r} is no embedding model of a configured provider.",
            remedy=f"use {MODEL!r}, or configure the provider and name the model under llm.providers.<name>.models.",
        )


def configured_providers(settings: Settings) -> list[Provider]:
    """The tiers' providers that are configured. Raises ConfigurationError for a paid provider without a budget."""
    found = []
    for name in settings.llm.tiers:
        chosen = settings.llm.providers[name]
        access = provider_access(chosen)
        if access is None:
            continue
        if not chosen.free and name not in settings.llm.budgets.providers:
            raise ConfigurationError(
                f"Provider {name} is paid and has no budget.",
                remedy=f"set llm.budgets.providers.{name} in aegis.yaml to USD a month, or llm.providers.{name}.free.",
            )
        found.append(_provider(name, chosen, access.base_url, access.api_key))
    return found


def account_limits(settings: Settings) -> AccountLimits:
    """The budgets in the settings, in nano-USD. A free provider is unlimited."""
    from aegis_dagster.domain.accounts import AccountLimits
    from aegis_dagster.domain.money import nano_usd

    llm = settings.llm
    budgets = llm.budgets
    return AccountLimits(
        providers={
            name: None if provider.free else nano_usd(budgets.providers.get(name, Decimal(0)))
            for name, provider in llm.providers.items()
            if name in llm.tiers
        },
        collections={name: nano_usd(usd) for name, usd in budgets.collections.items()},
        per_run=None if budgets.per_run is None else nano_usd(budgets.per_run),
    )


def own_prices(settings: Settings) -> Mapping[tuple[str, str], Price]:
    """The prices in aegis.yaml by provider and model."""
    found: dict[tuple[str, str], Price] = {}
    for name, price in settings.llm.prices.items():
        provider, slash, model = name.partition("/")
        if not slash:
            raise ConfigurationError(
                f"llm.prices: {name!r} is not of the form provider/model.", remedy="write it as openai/gpt-4.1."
            )
        found[provider, model] = _price(price)
    return found


def _price(price: PriceSettings) -> Price:
    from aegis_dagster.domain.money import nano_usd
    from aegis_dagster.domain.prices import Price
    from aegis_dagster.llm.price_table import tier

    def of(rates: RateSettings) -> Tier:
        return tier(
            rates.input,
            rates.output,
            cached=rates.cached,
            reasoning=rates.reasoning,
            cache_write=rates.cache_write,
            up_to=rates.up_to,
        )

    return Price(
        tuple(of(rates) for rates in price.tiers),
        version="aegis.yaml",
        source=price.source,
        as_of=price.as_of,
        per_picture=nano_usd(price.per_picture),
        reasoning_for_all=price.reasoning_for_all,
    )


def _picture_tokens(provider: str, model: str, values: ModelSettings) -> int:
    if values.picture_tokens is not None:
        return values.picture_tokens
    from aegis_dagster.llm.price_table import MOST_PICTURE_TOKENS

    return MOST_PICTURE_TOKENS.get((provider, model), PICTURE_TOKENS)


def _provider(name: str, chosen: ProviderSettings, base_url: str, api_key: str) -> Provider:
    models = {
        model: Model(
            name=model,
            tasks=frozenset(values.tasks),
            quality=values.quality,
            picture_tokens=_picture_tokens(name, model, values),
            max_input_tokens=values.max_input_tokens,
            dimensions=values.dimensions,
            texts_per_call=values.texts_per_call,
            parameters=values.parameters,
        )
        for model, values in chosen.models.items()
    }
    return Provider(
        name=name,
        base_url=base_url,
        api_key=api_key,
        local=chosen.local,
        free=chosen.free,
        models=models,
        concurrency=chosen.concurrency,
        requests_per_minute=chosen.requests_per_minute,
        tokens_per_minute=chosen.tokens_per_minute,
        timeout_seconds=chosen.timeout_seconds,
        attempts=chosen.attempts,
        max_tokens_field=chosen.max_tokens_field,
    )
