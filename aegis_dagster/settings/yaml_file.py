"""Reads aegis.yaml. A name that stands twice is an error: YAML's readers drop the first, and a policy with it."""

from collections.abc import Hashable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import YamlConfigSettingsSource


class _EachNameOnce(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{name} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


class SettingsFile(YamlConfigSettingsSource):
    """The settings in a YAML file; it need not exist. Raises YAMLError."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        with file_path.open(encoding="utf-8") as opened:
            return yaml.load(opened, _EachNameOnce) or {}
