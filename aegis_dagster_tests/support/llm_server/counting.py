"""Tokens and vectors of the scripted server, by rules that a test can compute itself.

A token is a word (`str.split`), a picture is 100 tokens, an input is at least one token.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

PICTURE_TOKENS = 100
DEFAULT_DIMENSIONS = 8


def count_words(text: str) -> int:
    """Tokens of a text."""
    return len(text.split())


@dataclass(frozen=True, slots=True)
class Tokens:
    """Cached and written are parts of the input, reasoning part of the output."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    written: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input,
            self.cached + other.cached,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.written + other.written,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, whatever its dialect."""

    path: str
    model: str
    embedding: bool
    texts: tuple[str, ...]  # of the messages, or to be embedded
    pictures: int
    max_tokens: int | None
    json_mode: bool
    dimensions: int
    base64_vectors: bool

    @property
    def prompt(self) -> str:
        """All texts, a line break between them."""
        return "\n".join(self.texts)

    @property
    def input_tokens(self) -> int:
        """What the input counts for."""
        return max(1, sum(count_words(text) for text in self.texts) + self.pictures * PICTURE_TOKENS)


def understood(path: str, body: Mapping[str, Any]) -> Asked:
    """Read a body of /v1/chat/completions, /v1/embeddings, /api/chat or /api/embed."""
    embedding = path.endswith(("/embeddings", "/api/embed"))
    if embedding:
        given = body.get("input", "")
        texts, pictures = ([given] if isinstance(given, str) else list(given)), 0
    else:
        texts, pictures = _of_messages(body.get("messages", []))
    options = body.get("options") or {}
    limits = (body.get("max_tokens"), body.get("max_completion_tokens"), options.get("num_predict"))
    return Asked(
        path=path,
        model=str(body.get("model", "")),
        embedding=embedding,
        texts=tuple(str(text) for text in texts),
        pictures=pictures,
        max_tokens=next((limit for limit in limits if limit is not None), None),
        json_mode=(body.get("response_format") or {}).get("type") == "json_object" or body.get("format") == "json",
        dimensions=int(body.get("dimensions") or DEFAULT_DIMENSIONS),
        base64_vectors=body.get("encoding_format") == "base64",
    )


def _of_messages(messages: list[dict[str, Any]]) -> tuple[list[str], int]:
    texts: list[str] = []
    pictures = 0
    for message in messages:
        content = message.get("content") or ""
        pictures += len(message.get("images") or ())
        if isinstance(content, str):
            texts.append(content)
            continue
        texts.extend(part["text"] for part in content if part.get("type") == "text")
        pictures += sum(part.get("type") == "image_url" for part in content)
    return texts, pictures


@lru_cache(maxsize=4096)
def vector(text: str, dimensions: int) -> tuple[float, ...]:
    """A vector of length 1 that depends on the text alone: the same in every process."""
    import numpy as np

    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    drawn = np.random.default_rng(seed).standard_normal(dimensions)
    return tuple(float(value) for value in np.asarray(drawn / np.linalg.norm(drawn), dtype=np.float32))


def packed(values: tuple[float, ...]) -> str:
    """As `encoding_format: base64` wants it: little-endian float32."""
    import numpy as np

    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode()
