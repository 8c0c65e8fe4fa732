"""Reads the JSON of a body as leniently as can be done without guessing."""

import json
import math
from typing import Any

_MOST_DIGITS = 30  # Python refuses to read an integer of thousands of digits


class Doubled(dict[str, Any]):
    """A JSON object in which a key stood more than once."""


def read_json(body: bytes) -> Any:
    """The JSON of a body, whatever its encoding; bytes that are no text are replaced. Raises ValueError."""
    try:
        try:
            return json.loads(body, object_pairs_hook=_object, parse_int=_integer)
        except UnicodeDecodeError:
            return json.loads(body.decode(errors="replace"), object_pairs_hook=_object, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json_at(text: str, start: int) -> Any:
    """The JSON value that begins there, whatever comes behind it. Raises ValueError."""
    try:
        return json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer).raw_decode(text, start)[0]
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. If a key stands there twice, the larger number counts, else the last value with content."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    found = Doubled()
    for name, value in pairs:
        before = found.get(name)
        if _is_number(before) and _is_number(value):
            found[name] = max(before, value)
        elif value or name not in found:
            found[name] = value
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
