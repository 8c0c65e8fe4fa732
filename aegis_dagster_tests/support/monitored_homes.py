"""Settings and exporters for the monitoring tests."""

from pathlib import Path
from typing import Any

from aegis_dagster.composition.exporter import build_exporter
from aegis_dagster.domain.llm import TaskType
from aegis_dagster.monitoring.metrics.exporter import Exporter
from aegis_dagster.monitoring.metrics.other_sources import RunNumbers
from aegis_dagster.ports import Clock
from aegis_dagster.settings import Settings

MODELS = {"openai": "gpt-4.1-mini", "local": "qwen3:8b"}
LLM: dict[str, Any] = {
    "tiers": ["local", "openai"],
    "providers": {
        "local": {"base_url": "http://127.0.0.1:9/v1", "models": {"qwen3:8b": {"tasks": [TaskType.SUMMARY]}}},
        "openai": {
            "base_url": "http://127.0.0.1:9/v1",
            "enabled": True,
            "api_key_variable": None,
            "models": {"gpt-4.1-mini": {"tasks": [TaskType.ENTITY_EXTRACTION, TaskType.SUMMARY]}},
        },
    },
    "prices": {"openai/gpt-4.1-mini": {"input": "0.4", "output": "1.6"}},
    "budgets": {"providers": {"openai": "20"}},
}


def make_settings(home: Path, **values: object) -> Settings:
    """Settings of a home; models are configured but not reachable."""
    return Settings.model_validate({"home": home, "llm": LLM, **values})


def make_exporter(settings: Settings, clock: Clock | None = None) -> Exporter:
    """An exporter without Dagster, which other tests ask."""
    return build_exporter(settings, lambda home: RunNumbers({}, {("ingest", "success"): 0}), clock)
