"""The section `llm` of the settings: one line changes one thing, mistakes are named, keys stay out."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from aegis_dagster.composition.models import account_limits, configured_providers, own_prices
from aegis_dagster.composition.project import Project
from aegis_dagster.domain.accounts import AccountLimits
from aegis_dagster.domain.llm import Quality, TaskType
from aegis_dagster.domain.money import NanoUsd
from aegis_dagster.domain.prices import Tier
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.llm.prices import PriceList, lines_to_add
from aegis_dagster.settings import Settings, load_settings
from aegis_dagster.settings.keys import ProviderAccess, provider_access
from aegis_dagster.settings.llm import DEFAULT_PROVIDERS, LlmSettings, PriceSettings, ProviderSettings
from aegis_dagster_tests.support.places import REPOSITORY

KEY = "sk-this-is-nobody-elses-business"


def written(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings with this aegis.yaml in the working directory."""
    (folder / "aegis.yaml").write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    return load_settings()


def refused(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        written(folder, text, monkeypatch)
    return caught.value


def test_without_a_line_the_three_providers_stand_in_their_order_with_their_budgets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = written(tmp_path, "", monkeypatch).llm
    assert llm.tiers == ("local", "dashscope", "openai")
    assert set(llm.providers) == set(llm.tiers)
    assert llm.budgets.providers == {"dashscope": Decimal(10), "openai": Decimal(20)}
    assert {name for name, provider in llm.providers.items() if provider.local} == {"local"}
    assert {name for name, provider in llm.providers.items() if provider.free} == {"local"}


def test_every_default_provider_has_a_model_for_every_task() -> None:
    for name, provider in LlmSettings().providers.items():
        offered = {task for model in provider.models.values() for task in model.tasks}
        assert offered == set(TaskType), name


def test_one_line_changes_one_field_of_a_default_provider_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = written(tmp_path, "llm: {providers: {openai: {concurrency: 3}}}", monkeypatch).llm
    default = ProviderSettings.model_validate(DEFAULT_PROVIDERS["openai"])
    assert llm.providers["openai"] == default.model_copy(update={"concurrency": 3})
    assert llm.providers["dashscope"] == LlmSettings().providers["dashscope"]


def test_a_provider_that_is_named_without_fields_keeps_its_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = written(tmp_path, "llm:\n  providers:\n    openai:\n", monkeypatch).llm
    assert llm.providers == LlmSettings().providers


def test_a_provider_of_ones_own_stands_beside_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = written(
        tmp_path,
        """
        llm:
          tiers: [vllm, openai]
          providers:
            vllm:
              base_url: http://gpu-1:8000/v1
              local: true
              free: true
              models:
                qwen3-32b: {tasks: [entity_extraction, summary], quality: high}
        """,
        monkeypatch,
    ).llm
    assert list(llm.providers) == ["local", "dashscope", "openai", "vllm"]
    model = llm.providers["vllm"].models["qwen3-32b"]
    assert (model.tasks, model.quality) == ((TaskType.ENTITY_EXTRACTION, TaskType.SUMMARY), Quality.HIGH)


def test_one_budget_changes_one_account_and_money_stays_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets = written(
        tmp_path, "llm: {budgets: {providers: {openai: 0.1, local: 7}, collections: {legal: 2.30}}}", monkeypatch
    ).llm.budgets
    assert budgets.providers == {"dashscope": Decimal(10), "openai": Decimal("0.1"), "local": Decimal(7)}
    assert budgets.collections == {"legal": Decimal("2.3")}


def test_the_environment_goes_before_the_file_field_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_LLM__PROVIDERS__OPENAI__CONCURRENCY", "5")
    monkeypatch.setenv("AEGIS_LLM__BUDGETS__PROVIDERS__OPENAI", "0.25")
    text = "llm: {providers: {openai: {concurrency: 3, attempts: 7}}, budgets: {providers: {openai: 9, dashscope: 8}}}"
    llm = written(tmp_path, text, monkeypatch).llm
    assert (llm.providers["openai"].concurrency, llm.providers["openai"].attempts) == (5, 7)
    assert llm.budgets.providers == {"dashscope": Decimal(8), "openai": Decimal("0.25")}


def test_a_price_in_short_form_is_one_tier_with_exact_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = written(
        tmp_path,
        """
        llm:
          prices:
            openai/gpt-x:
              {input: 0.05, output: 0.1, cached: 0.0125, per_picture: 0.001, source: bill, as_of: 2026-11-02}
        """,
        monkeypatch,
    ).llm.prices
    price = prices["openai/gpt-x"]
    [tier] = price.tiers
    assert (tier.input, tier.output, tier.cached) == (Decimal("0.05"), Decimal("0.1"), Decimal("0.0125"))
    assert (tier.reasoning, tier.up_to) == (None, None)
    assert (price.per_picture, price.source, str(price.as_of)) == (Decimal("0.001"), "bill", "2026-11-02")


def test_a_price_in_long_form_keeps_its_tiers_in_order() -> None:
    price = PriceSettings.model_validate(
        {"tiers": [{"input": "0.4", "output": "1.2", "up_to": 256_000}, {"input": "1.2", "output": "3.6"}]}
    )
    assert [(tier.up_to, tier.input) for tier in price.tiers] == [(256_000, Decimal("0.4")), (None, Decimal("1.2"))]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("llm: {tiers: [local, claude]}", "claude"),
        ("llm: {tires: []}", "llm.tires"),
        ("llm: {providers: {openai: {modles: {}}}}", "llm.providers.openai.modles"),
        ("llm: {providers: {openai: {concurrency: 0}}}", "llm.providers.openai.concurrency"),
        ("llm: {providers: {openai: {models: {gpt-4.1: {tasks: [poetry]}}}}}", "llm.providers.openai.models.gpt-4.1"),
        ("llm: {providers: {openai: {models: {gpt-4.1: {}}}}}", "llm.providers.openai.models.gpt-4.1.tasks"),
        ("llm: {providers: {openai: 7}}", "llm.providers.openai"),
        ("llm: {prices: {openai/gpt-x: {output: 1}}}", "llm.prices.openai/gpt-x"),
        ("llm: {prices: {openai/gpt-x: {input: -1}}}", "llm.prices.openai/gpt-x"),
        ("llm: {prices: {openai/gpt-x: {input: '?'}}}", "llm.prices.openai/gpt-x"),
        ("llm: {prices: {openai/gpt-x: {tiers: []}}}", "llm.prices.openai/gpt-x.tiers"),
        (
            "llm: {prices: {openai/gpt-x: {tiers: [{input: 1, output: 1}, {input: 2, output: 1, up_to: 9}]}}}",
            "up_to",
        ),
        (
            "llm: {prices: {openai/x: {tiers: [{input: 1, output: 1, up_to: 9}, {input: 2, output: 1, up_to: 9}]}}}",
            "up_to",
        ),
        ("llm: {budgets: {providers: {openai: twenty}}}", "llm.budgets.providers.openai"),
        ("llm: {budgets: {providers: {openai: .nan}}}", "llm.budgets.providers.openai"),
        ("llm: {budgets: {providers: {openai: -1}}}", "llm.budgets.providers.openai"),
        ("llm: {budgets: {collections: {legal: -1}}}", "llm.budgets.collections.legal"),
        ("llm: {budgets: {per_run: -1}}", "llm.budgets.per_run"),
        ("llm: {budgets: {soft_share: 80}}", "llm.budgets.soft_share"),
        ("llm: {budgets: {providers: {open_ai: 1}}}", "open_ai"),
        ("llm: {prices: {dashscop/qwen-flash: {input: 1, output: 1}}}", "dashscop/qwen-flash"),
        ("llm: {prices: {openai/gpt-x: {input: 1}}}", "output"),
    ],
)
def test_a_mistake_is_named_with_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, setting: str
) -> None:
    error = refused(tmp_path, text, monkeypatch)
    assert setting in error.message
    assert "aegis.yaml" in error.remedy and "SETTINGS.md" in error.remedy


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "http://localhost:11434/v1"),
        ("localhost:8080", "http://localhost:8080/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:11500", "http://127.0.0.1:11500/v1"),
        (":11500", "http://127.0.0.1:11500/v1"),
        ("http://gpu-1:11434", "http://gpu-1:11434/v1"),
        ("http://gpu-1:11434/", "http://gpu-1:11434/v1"),
        ("https://ollama.example.com/v1", "https://ollama.example.com/v1"),
        ("https://example.com/ollama/v1/", "https://example.com/ollama/v1"),
    ],
)
def test_ollama_host_may_be_written_as_ollama_takes_it(
    monkeypatch: pytest.MonkeyPatch, host: str, address: str
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", host)
    access = provider_access(LlmSettings().providers["local"])
    assert access is not None and access.base_url == address


def test_nothing_is_configured_without_keys_and_addresses() -> None:
    assert [provider_access(provider) for provider in LlmSettings().providers.values()] == [None, None, None]


def test_a_key_makes_its_provider_ready_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", f"  {KEY}\n")
    providers = LlmSettings().providers
    access = provider_access(providers["dashscope"])
    assert access == ProviderAccess("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", KEY)
    assert provider_access(providers["openai"]) is None
    monkeypatch.setenv("DASHSCOPE_API_KEY", "  ")
    assert provider_access(providers["dashscope"]) is None


def test_openai_base_url_moves_openai_and_an_address_in_the_file_goes_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/openai/v1/")
    moved = provider_access(LlmSettings().providers["openai"])
    assert moved is not None and moved.base_url == "https://proxy.example.com/openai/v1"
    written_down = LlmSettings.model_validate({"providers": {"openai": {"base_url": "http://127.0.0.1:9/v1"}}})
    access = provider_access(written_down.providers["openai"])
    assert access is not None and access.base_url == "http://127.0.0.1:9/v1"


def test_a_provider_can_be_switched_off_in_spite_of_its_key_and_on_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    values = {"openai": {"enabled": False}, "dashscope": {"enabled": True}}
    providers = LlmSettings.model_validate({"providers": values}).providers
    assert provider_access(providers["openai"]) is None
    access = provider_access(providers["dashscope"])
    assert access is not None and access.api_key == "none"


def test_another_variable_may_hold_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORPORATE_KEY", KEY)
    providers = LlmSettings.model_validate({"providers": {"openai": {"api_key_variable": "CORPORATE_KEY"}}}).providers
    access = provider_access(providers["openai"])
    assert access is not None and access.api_key == KEY


def test_no_dump_and_no_text_of_the_settings_holds_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "DASHSCOPE_API_KEY"):
        monkeypatch.setenv(variable, KEY)
    settings = written(tmp_path, "llm: {providers: {openai: {concurrency: 3}}}", monkeypatch)
    access = provider_access(settings.llm.providers["openai"])
    assert access is not None and access.api_key == KEY  # it is there, and is not shown
    for shown in (repr(settings), settings.model_dump_json(), repr(access), str(access)):
        assert KEY not in shown


def test_a_key_that_is_written_into_the_file_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(tmp_path, f"llm: {{providers: {{openai: {{api_key: {KEY}}}}}}}", monkeypatch)
    assert "llm.providers.openai.api_key" in error.message
    assert KEY not in str(error)


GUIDE = REPOSITORY / "docs" / "guides" / "COSTS.md"


def test_the_example_of_the_guide_builds_every_provider_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```yaml\n(# aegis.yaml\n.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    for variable in ("DASHSCOPE_API_KEY", "OPENAI_API_KEY", "CORPORATE_LLM_KEY"):
        monkeypatch.setenv(variable, KEY)
    settings = written(tmp_path, example, monkeypatch)
    providers = configured_providers(settings)
    assert [provider.name for provider in providers] == ["local", "gpu", "dashscope", "openai", "proxy"]
    prices = PriceList(own_prices(settings))
    unpriced = [
        f"{provider.name}/{model}"
        for provider in providers
        for model in provider.models
        if not provider.free and prices.price(provider.name, model) is None
    ]
    assert unpriced == []
    assert account_limits(settings) == AccountLimits(
        providers={
            "local": None,
            "gpu": None,
            "dashscope": NanoUsd(15 * 10**9),
            "openai": NanoUsd(40 * 10**9),
            "proxy": NanoUsd(100 * 10**9),
        },
        collections={"legal": NanoUsd(25_500_000_000)},
        per_run=NanoUsd(5 * 10**9),
    )
    own = own_prices(settings)["proxy", "gpt-4.1-corporate"]
    assert own.tiers == (Tier(None, 2_200_000_000, 550_000_000, 8_800_000_000, 8_800_000_000),)
    assert Project(settings).choices.embedding_shape[0].startswith("all-MiniLM")


def test_the_lines_that_a_refusal_gives_are_taken_once_the_rates_stand_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_to_add("openai", "brand new: model")
    assert "llm.prices.openai/brand new: model" in refused(tmp_path, lines, monkeypatch).message  # as they stand
    settings = written(tmp_path, lines.replace("?", "0.40"), monkeypatch)
    assert own_prices(settings)["openai", "brand new: model"].tiers[0].input == 400_000_000


def test_a_paid_provider_without_a_budget_is_refused_with_the_line_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = written(
        tmp_path, "llm: {tiers: [mine], providers: {mine: {base_url: 'http://127.0.0.1:9/v1'}}}", monkeypatch
    )
    with pytest.raises(ConfigurationError) as caught:
        configured_providers(settings)
    assert "llm.budgets.providers.mine" in caught.value.remedy


def test_the_guide_names_every_group_of_costs() -> None:
    from aegis_dagster.cli.costs import GROUPS

    (listed,) = re.findall(r"--by collection +# (.*)", GUIDE.read_text("utf-8"))
    assert tuple(listed.split(", ")) == tuple(GROUPS)


def test_a_price_that_is_off_by_a_unit_is_warned_of_when_models_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prices = "openai/gpt-4.1: {input: 0.002, output: 0.008}, openai/gpt-4.1-mini: {input: 0.40, output: 1.60}"
    settings = written(tmp_path, f"llm: {{prices: {{{prices}}}}}", monkeypatch)
    assert Project(settings).choices.gateway is not None
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [message.split(" tokens is ")[0] for message in warned] == [
        "llm.prices.openai/gpt-4.1: 0.002 USD per million input",
        "llm.prices.openai/gpt-4.1: 0.008 USD per million output",
    ]
    assert all("1,000 times less" in message and "Remedy: write USD per million" in message for message in warned)


def test_a_price_may_name_the_rates_of_a_cache_and_whether_reasoning_is_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = "{input: 2, output: 8, cached: 0.2, cache_write: 2.5, reasoning: 16}"
    tiers = f"{{tiers: [{rates}], reasoning_for_all: true}}"
    given = f"{{openai/gpt-4.1: {rates}, dashscope/qwen-plus: {tiers}}}"
    own = own_prices(written(tmp_path, f"llm: {{prices: {given}}}", monkeypatch))
    for_all = {name: price.reasoning_for_all for (_, name), price in own.items()}
    assert for_all == {"gpt-4.1": False, "qwen-plus": True}
    assert own["openai", "gpt-4.1"].tiers[0].written == 2_500_000_000
