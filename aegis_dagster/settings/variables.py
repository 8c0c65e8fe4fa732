"""Settings that are written as JSON into environment variables, and would silently say less than they seem to."""

import json
from typing import Any

from aegis_dagster.errors import ConfigurationError


def refuse_doubtful_json(name: str, value: str) -> None:
    """Raises ConfigurationError if a name stands twice, or `local_only` is null: both would drop a policy."""

    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [key for key, _ in pairs]
        for key in names:
            if names.count(key) > 1:
                raise ConfigurationError(
                    f"{key} stands twice in the variable {name}; only the last one would count.",
                    remedy="write it once, with all that it has to say.",
                )
        read = dict(pairs)
        if "local_only" in read and read["local_only"] is None:
            raise ConfigurationError(
                f"local_only is null in the variable {name}, and would replace what aegis.yaml says.",
                remedy="write true or false, or leave it out.",
            )
        return read

    try:
        json.loads(value, object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        return  # no JSON: a text, or an error that pydantic tells
