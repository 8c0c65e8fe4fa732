"""Writes docs/guides/SETTINGS.md from the settings themselves: `python scripts/document_settings.py`."""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aegis_dagster.settings import Settings
from aegis_dagster.settings.llm import DEFAULT_PROVIDERS, LlmSettings, ProviderSettings
from aegis_dagster.settings.stages import CollectionPolicy

TARGET = Path(__file__).parents[1] / "docs" / "guides" / "SETTINGS.md"

HEAD = """# Settings

Every option, its default and its environment variable. Written by `python scripts/document_settings.py`; a
test holds it equal to the code.

First wins: the environment, then `aegis.yaml` in the working directory (or the file that `AEGIS_CONFIG`
names), then the default. A name that does not exist is refused, in aegis.yaml and in a variable with two underscores
(`AEGIS_METRICS__PROT`, `AEGIS_METRIC__PORT`). A misspelt variable of one word (`AEGIS_HOEM`) may be another program's
and is not noticed: `aegis doctor` shows home and root. Lists and tables in a variable are JSON:
`AEGIS_LLM__TIERS='["local"]'`.

```yaml
# aegis.yaml
root: documents
parse:
  workers: 4
collections:
  contracts:
    local_only: true
    graph: false
```

`aegis doctor` shows what is in force. More variables are read: `AEGIS_CONFIG` (another aegis.yaml), `AEGIS_NOTIFY` (who
is paged), `AEGIS_NEO4J_PASSWORD`, `DAGSTER_HOME` (another folder for the Dagster instance than `<home>/dagster`), and
those that `llm.providers` names for addresses and keys: `OLLAMA_HOST`, `DASHSCOPE_API_KEY`, `OPENAI_API_KEY`,
`OPENAI_BASE_URL`. A key never stands in a setting.
"""

COLLECTIONS = """Names count letter by letter: `contracts` does not protect the folder
`Contracts`, and a name without a folder is no error (`aegis doctor` tells of both). In the environment all of them are
one variable, as JSON:
`AEGIS_COLLECTIONS='{"Contracts": {"local_only": true}}'`.
"""

# The word that stands for a name of the user's in the path of a setting.
PLACEHOLDERS = {"providers": "NAME", "models": "MODEL", "prices": "PROVIDER/MODEL", "collections": "NAME"}


def document() -> str:
    """The whole page."""
    parts = [HEAD, "\n## General\n\n", _table("", _plain_fields(Settings))]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(_sections(name, section, "##"))
            if section is LlmSettings:
                parts.append(_default_providers())
    policy = _table("collections.NAME.", CollectionPolicy.model_fields)
    parts.append(f"\n## `collections`\n\n{_first_line(CollectionPolicy)} {COLLECTIONS}\n{policy}")
    return "".join(parts)


def _sections(path: str, section: type[BaseModel], heading: str) -> str:
    """A heading, the table of the plain fields, then the same of every section within."""
    plain = _plain_fields(section)
    parts = [f"\n{heading} `{path}`\n\n{_first_line(section)}\n"]
    if plain:
        parts.append(f"\n{_table(f'{path}.', plain)}")
    for name, field in section.model_fields.items():
        inner = _section_of(field.annotation)
        if inner is None:
            continue
        model, shape = inner
        step = {"dict": f"{name}.{PLACEHOLDERS.get(name, 'NAME')}", "tuple": f"{name}[]"}.get(shape, name)
        said = f"\n{field.description}\n" if field.description else ""
        below = _sections(f"{path}.{step}", model, "###")
        head, line, rest = below.partition(f"{_first_line(model)}\n")
        parts.append(head + line + said + rest)
    return "".join(parts)


def _section_of(annotation: Any) -> tuple[type[BaseModel], str] | None:
    """The section that a field holds, and in what: "" (itself), "dict" or "tuple". None: a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    inner = [each for each in get_args(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
    return (inner[0], getattr(get_origin(annotation), "__name__", "")) if inner else None


def _plain_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {name: field for name, field in model.model_fields.items() if _section_of(field.annotation) is None}


def _table(prefix: str, fields: Mapping[str, FieldInfo]) -> str:
    lines = ["| setting | default | environment | what it means |", "|---|---|---|---|"]
    for name, field in fields.items():
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{prefix}{name}` | {_default(field)} | {_variable(prefix + name)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _variable(path: str) -> str:
    """The environment variable; names of models and collections, and lists, cannot stand in one."""
    if re.search(r"MODEL|\[|^collections", path):
        return "aegis.yaml only"
    return f"`AEGIS_{path.upper().replace('.', '__')}`"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Mapping):
        value = ", ".join(f"{key}: {each}" for key, each in value.items()) or "{}"
    elif isinstance(value, tuple):
        value = ", ".join(map(str, value))
    shown = str(value.value if isinstance(value, Enum) else value)
    return f"`{shown}`" if shown else ""


def _default_providers() -> str:
    """What stands in `llm.providers` without a line of aegis.yaml."""
    lines = [
        "\n### The providers that are known without a line of aegis.yaml\n",
        "| provider | address | configured by | models: what they are asked for |",
        "|---|---|---|---|",
    ]
    for name, values in DEFAULT_PROVIDERS.items():
        provider = ProviderSettings.model_validate(values)
        variable = f"`{provider.base_url_variable}`" if provider.base_url_variable else ""
        address = " or ".join(
            part for part in (variable, f"`{provider.base_url}`" if provider.base_url else "") if part
        )
        key = f"`{provider.api_key_variable}`" if provider.api_key_variable else f"{variable} (no key)"
        models = "; ".join(
            f"`{model}` ({offered.quality}): {', '.join(offered.tasks)}" for model, offered in provider.models.items()
        )
        lines.append(f"| `{name}` | {address} | {key} | {models} |")
    defaults = ProviderSettings()
    lines.append("\nWhere their defaults differ from the table of `llm.providers.NAME`:\n")
    for name, values in DEFAULT_PROVIDERS.items():
        provider = ProviderSettings.model_validate(values)
        told = [
            f"`{each}` `{getattr(provider, each)}`"
            for each in ("local", "free", "concurrency", "timeout_seconds", "max_tokens_field")
            if getattr(provider, each) != getattr(defaults, each)
        ]
        lines.append(f"- `{name}`: {', '.join(told)}")
    return "\n".join(lines) + "\n"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    TARGET.write_text(document(), "utf-8")
