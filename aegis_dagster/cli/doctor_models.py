"""The findings of `aegis doctor` on models: each provider, the stages' choices, and on request one call to each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from aegis_dagster.composition.call_estimates import NobodyDescribes
from aegis_dagster.composition.languages import SWITCH, language_warning
from aegis_dagster.composition.models import Models, own_prices
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountKind
from aegis_dagster.domain.addresses import without_secrets
from aegis_dagster.domain.llm import AskedFor, Classification, LLMTask, Message, TaskType
from aegis_dagster.domain.money import month_of, shown_usd
from aegis_dagster.embedding.model_files import MODEL, model_dir
from aegis_dagster.errors import AegisError, ConfigurationError
from aegis_dagster.extraction.by_model import ModelExtractor
from aegis_dagster.llm.price_slips import REMEDY, slips
from aegis_dagster.llm.prices import PriceList
from aegis_dagster.llm.providers import Provider
from aegis_dagster.pictures.vision import VisionDescriber
from aegis_dagster.settings.keys import ProviderAccess, provider_access
from aegis_dagster.settings.llm import ProviderSettings
from aegis_dagster.stores.faults import Place, service_error


@dataclass(frozen=True, slots=True)
class Finding:
    """One component."""

    component: str
    ok: bool
    state: str  # the configuration, and whether it answers
    move_up: str  # what the default replaces, and how to upgrade; "" if there is nothing better

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def tried(component: str, look: Callable[[], str], move_up: str = "") -> Finding:
    """The result of an examination, or the error that it raises."""
    return examined(component, lambda: Finding(component, True, look(), move_up))[0]


def examined(component: str, look: Callable[[], Finding | Sequence[Finding]]) -> list[Finding]:
    """What an examination found; if it breaks off, the finding says why, and the others go on."""
    try:
        found = look()
        return [found] if isinstance(found, Finding) else list(found)
    except AegisError as error:
        return [Finding(component, False, error.message, error.remedy)]
    except Exception as error:
        told = service_error(error, Place(component, None, "")) if isinstance(error, OSError) else None
        if told is not None:
            return [Finding(component, False, f"{told.message} ({error})", told.remedy)]
        state = f"could not be examined: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        return [Finding(component, False, state, "this is a defect of aegis_dagster: report it with this line.")]


RUN_ID = "doctor"  # marks the ledger rows of the calls made here
_CALL_SECONDS = 60.0  # for all attempts at one provider
_PROBES = (TaskType.SUMMARY, TaskType.ENTITY_EXTRACTION, TaskType.IMAGE_DESCRIPTION, TaskType.EMBEDDING)
_CONFIGURE = "set OLLAMA_HOST, DASHSCOPE_API_KEY or OPENAI_API_KEY, or a provider in aegis.yaml (docs/guides/COSTS.md)"


def provider_findings(project: Project) -> list[Finding]:
    """One finding for each provider that is configured, completely or partly."""
    findings = []
    for name, chosen in project.settings.llm.providers.items():
        access, component = provider_access(chosen), f"provider {name}"
        if access is None and chosen.enabled:
            remedy = f"set llm.providers.{name}.base_url or the variable that its base_url_variable names."
            findings.append(Finding(component, False, "switched on, but has no address", remedy))
        elif access is not None and name not in project.settings.llm.tiers:
            findings.append(Finding(component, True, "configured, but not used", f"Add {name} to llm.tiers."))
        elif access is not None:
            findings.append(tried(component, partial(_provider, project, name, chosen, access)))
    if findings:
        return [*findings, *_price_findings(project)]
    return [Finding("providers", True, "none: no model is called, nothing is spent", f"To ask models, {_CONFIGURE}.")]


def _price_findings(project: Project) -> list[Finding]:
    """A finding if a price in aegis.yaml is hardly meant as it is written."""
    try:
        slipped = slips(own_prices(project.settings))
    except ConfigurationError as error:
        return [Finding("prices", False, error.message, error.remedy)]
    return [Finding("prices", False, " ".join(slipped), REMEDY)] if slipped else []


def pictures_finding(project: Project) -> Finding:
    """The finding on the describer of pictures."""
    how = "set enrich.describer to auto" if project.settings.enrich.describer == "ocr" else _CONFIGURE

    def chosen(classification: Classification) -> tuple[str, bool]:
        found = project.choices.describer_of(classification, NobodyDescribes())
        if isinstance(found, VisionDescriber):
            return _in_order(found.accepted), True
        return "the text in a picture, by OCR", False

    move_up = f"OCR stands in for a vision model, which describes charts and photos: {how}."
    return _choice("picture descriptions", project, chosen, move_up)


def graph_finding(project: Project) -> Finding:
    """The finding on the extractor of the graph."""
    how = "set graph.extractor to auto" if project.settings.graph.extractor == "statistical" else _CONFIGURE

    def chosen(classification: Classification) -> tuple[str, bool]:
        found = project.choices.extractor_of(classification)
        if isinstance(found, ModelExtractor):
            return _in_order(found.accepted), True
        return f"statistical ({found.name})", False

    move_up = f"Key phrases and co-occurrence stand in for a language model: {how}."
    return _choice("graph extraction", project, chosen, move_up)


def _choice(
    component: str, project: Project, chosen: Callable[[Classification], tuple[str, bool]], move_up: str
) -> Finding:
    """The choice, and that for confidential collections if it differs. `chosen` also returns whether it is a model."""
    confidential = project.settings.confidential
    try:
        state, by_model = chosen(Classification.INTERNAL)
        if confidential:
            theirs, also_by_model = chosen(Classification.CONFIDENTIAL)
            if theirs != state:
                state = f"{state}; confidential collections ({confidential}): {theirs}"
                by_model = by_model and also_by_model
    except ConfigurationError as error:
        return Finding(component, False, error.message, error.remedy)
    return Finding(component, True, state, "" if by_model else move_up)


def _in_order(accepted: Sequence[str]) -> str:
    """The models of identities like "vision-1/openai/gpt-4.1", in the order in which they are asked."""
    return ", then ".join(name.partition("/")[2] for name in accepted)


def embedding_finding(project: Project) -> Finding:
    """The finding on the embedder."""
    if project.settings.embed.model != MODEL:
        return tried("embedding", lambda: f"{project.choices.embedder.model}, by its provider")
    folder = model_dir(project.settings.model_cache)
    exported = (folder / "model.onnx").is_file()
    state = f"{MODEL} in {folder}" if exported else "not exported yet: the first run does it"
    foreign = language_warning(project)
    move_up = f"MiniLM stands in for larger models and understands English only: {SWITCH}"
    return Finding("embedding", not foreign, f"{state}; for English", foreign or move_up)


def call_findings(project: Project) -> list[Finding]:
    """Ask each configured provider for one token, reserved and accounted like any call."""
    try:
        providers = project.choices.providers
    except ConfigurationError as error:
        return [Finding("calls", False, error.message, error.remedy)]
    return asyncio.run(_call_all(project.models(RUN_ID), providers))


async def _call_all(models: Models, providers: Sequence[Provider]) -> list[Finding]:
    try:
        return list(await asyncio.gather(*(_call(models, provider) for provider in providers)))
    finally:
        await models.aclose()


async def _call(models: Models, provider: Provider) -> Finding:
    component, task = f"call {provider.name}", _probe(provider)
    if task is None:
        remedy = f"add a model to llm.providers.{provider.name}.models."
        return Finding(component, False, "has no model that could be asked", remedy)
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            said = await models.gateway.ask(task)
    except TimeoutError:
        remedy = "look whether it is loading a model; the call costs its reservation (`aegis costs`)."
        return Finding(component, False, f"no answer within {_CALL_SECONDS:g} s", remedy)
    except AegisError as error:
        return Finding(component, False, error.message, error.remedy)
    tokens = f"{said.usage.input_tokens} + {said.usage.output_tokens} tokens"
    counted = " (estimated: it does not say)" if said.usage.estimated else ""
    state = f"{said.model} answered in {said.latency_seconds:.2f} s, {tokens}{counted}, {shown_usd(said.cost)} USD"
    return Finding(component, True, state, "")


def _probe(provider: Provider) -> LLMTask | None:
    """The shortest question to the first model that takes one; None: no model accepts one."""
    for task_type in _PROBES:
        for model in provider.models.values():
            if task_type not in model.tasks:
                continue
            only, asked_for = (provider.name, model.name), AskedFor()
            if task_type is TaskType.EMBEDDING:
                return LLMTask(task_type, texts=("yes",), only=only, asked_for=asked_for)
            messages = (Message("user", "Say yes."),)
            return LLMTask(task_type, messages=messages, max_tokens=1, only=only, asked_for=asked_for)
    return None


def _provider(project: Project, name: str, chosen: ProviderSettings, access: ProviderAccess) -> str:
    """Address, key, models, budget. Raises ConfigurationError: no model, a paid one without price or budget."""
    if not chosen.models:
        raise ConfigurationError(f"{name} has no models.", remedy=f"name them under llm.providers.{name}.models.")
    parts = [without_secrets(access.base_url), _key_state(chosen, access)]
    by_task = {task: [model for model, offers in chosen.models.items() if task in offers.tasks] for task in TaskType}
    parts += [f"{task}: {', '.join(models)}" for task, models in by_task.items() if models]
    if chosen.free:
        return "; ".join([*parts, "free"])
    prices = PriceList(own_prices(project.settings))
    unpriced = [model for model in chosen.models if prices.price(name, model) is None]
    if unpriced:
        raise ConfigurationError(
            f"{'; '.join(parts)}; no price is known for {', '.join(unpriced)}, so it is not called.",
            remedy=f'add "{name}/{unpriced[0]}": {{input: ..., output: ...}} (USD per million tokens) to llm.prices.',
        )
    return "; ".join([*parts, "prices known", _budget_left(project, name)])


def _key_state(chosen: ProviderSettings, access: ProviderAccess) -> str:
    if chosen.api_key_variable is None:
        return "needs no key"
    return f"key {'in' if access.api_key != 'none' else 'missing in'} {chosen.api_key_variable}"


def _budget_left(project: Project, name: str) -> str:
    """Raises ConfigurationError: there is no budget."""
    if name not in project.settings.llm.budgets.providers:
        raise ConfigurationError(
            f"{name} is paid and has no budget.",
            remedy=f"set llm.budgets.providers.{name} to USD a month, or llm.providers.{name}.free to true.",
        )
    for account in project.choices.ledger.accounts(month_of(project.clock.now())):
        if account.key.kind is AccountKind.PROVIDER and account.key.name == name and account.limit is not None:
            return f"{shown_usd(account.remaining or 0)} of {shown_usd(account.limit)} USD left this month"
    return "no limit"
