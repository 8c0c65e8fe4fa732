"""Reads the JSON of a body as leniently as can be done without guessing."""

import json
import math
import re
from typing import Any

_MOST_DIGITS = 30  # Python refuses to read an integer of thousands of digits
_VECTOR = re.compile(rb'"embedding"\s*:\s*\[')  # within a text each quotation mark has a backslash before it


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


def read_embeddings(body: bytes) -> Any:
    """As `read_json`. The lists of numbers of an embedding's answer, nearly all of it, are read eight times as fast."""
    import orjson

    rest, lists, end = [], [], 0
    while (found := _VECTOR.search(body, end)) is not None and (close := body.find(b"]", found.end())) >= 0:
        rest.append(body[end : found.end()])
        lists.append(body[found.end() : close])
        end = close
    try:
        vectors = orjson.loads(b"[[%b]]" % b"],[".join(lists)) if lists else []
        parsed = read_json(b"".join([*rest, body[end:]]))
    except ValueError:
        return read_json(body)
    data = parsed.get("data") if isinstance(parsed, dict) else None
    if not isinstance(data, list) or len(data) != len(vectors) or not all(map(_is_emptied, data)):
        return read_json(body)
    for each, vector in zip(data, vectors, strict=True):
        each["embedding"] = vector
    return parsed


def _is_emptied(entry: object) -> bool:
    return isinstance(entry, dict) and not isinstance(entry, Doubled) and entry.get("embedding") == []


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
