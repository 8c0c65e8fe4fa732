"""Writes docs/guides/SETTINGS.md from the settings themselves: `python scripts/document_settings.py`.

Belongs here: turning fields into a table. Does not belong here: what a setting means (`settings.py`).
"""

from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aegis_dagster.settings import CollectionPolicy, Settings

TARGET = Path(__file__).parents[1] / "docs" / "guides" / "SETTINGS.md"

HEAD = """# Settings

Every option, its default and its environment variable. Written by `python scripts/document_settings.py`; a
test holds it equal to the code.

First wins: the environment, then `aegis.yaml` in the working directory (or the file that `AEGIS_CONFIG`
names), then the default. A name that does not exist is refused, so a typing error is never a silent default.

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

`aegis doctor` shows what is in force. Two more variables are read: `AEGIS_CONFIG` (another aegis.yaml) and
`DAGSTER_HOME` (another folder for the Dagster instance than `<home>/dagster`).
"""


def document() -> str:
    """The whole page."""
    parts = [HEAD, "\n## General\n\n", _table("", _plain_fields(Settings))]
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(f"\n## `{name}`\n\n{_first_line(section)}\n\n{_table(f'{name}.', section.model_fields)}")
    policy = _table("collections.NAME.", CollectionPolicy.model_fields)
    parts.append(f"\n## `collections`\n\n{_first_line(CollectionPolicy)}\n\n{policy}")
    return "".join(parts)


def _plain_fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {
        name: field
        for name, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
        and name != "collections"
    }


def _table(prefix: str, fields: dict[str, FieldInfo]) -> str:
    lines = ["| setting | default | environment | what it means |", "|---|---|---|---|"]
    for name, field in fields.items():
        variable = f"AEGIS_{prefix}{name}".upper().replace(".", "__")
        default = field.get_default(call_default_factory=True)
        shown = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
        meaning = (field.description or "").replace("|", "\\|")
        lines.append(f"| `{prefix}{name}` | `{shown}` | `{variable}` | {meaning} |")
    return "\n".join(lines) + "\n"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


if __name__ == "__main__":
    TARGET.write_text(document(), "utf-8")
