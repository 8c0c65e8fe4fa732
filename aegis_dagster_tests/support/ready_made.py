"""Results that are written instead of made, for what costs the same whatever the documents hold."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.ports import Vectors

WORDS = tuple(hashlib.sha256(str(number).encode()).hexdigest()[:7] for number in range(5000))


class ReadyMade:
    """A `TaskRunner` that writes results instead of making them: as many passages as it was told, of 40 words."""

    def __init__(self, passages: int) -> None:
        self._passages = passages

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        folder = Path(payload["out_dir"])
        if task == "parse":
            told = {"pages": 0, "pictures": 0, "tables": 0, "characters": 2800, "format": "text", "route": "text"}
            _write(folder / "source_text.json", {"pieces": [], "left_out": []})
            _write(folder / "document.json", {"name": payload["revision"], "texts": [], "pictures": []})
            _write(folder / "manifest.json", told)
            return told
        name = Path(payload["parse_dir"]).name
        chunks = [_chunk(f"{name} {ordinal}", ordinal) for ordinal in range(self._passages)]
        report = {"chunks": len(chunks), "coverage": 1.0, "losses": 0, "missing": [], "missing_sample": ""}
        (folder / "document.md").write_text("", "utf-8")
        _write(folder / "chunks.json", chunks)
        _write(folder / "report.json", report)
        return report


def _write(file: Path, values: Any) -> None:
    file.write_text(json.dumps(values), "utf-8")


def _chunk(seed: str, ordinal: int) -> dict[str, Any]:
    picked = np.frombuffer(hashlib.sha256(seed.encode()).digest() * 3, dtype="<u2")[:40]
    text = " ".join(WORDS[number % len(WORDS)] for number in picked) + f" {seed}"
    more: dict[str, Any] = {"headings": [], "pages": [], "boxes": [], "pictures": [], "token_count": 60}
    return {"ordinal": ordinal, "text": text, "embedded_text": text, **more}


class Instant:
    """An `Embedder` that answers at once."""

    def __init__(self, model: str, dimensions: int, texts_per_call: int) -> None:
        self.model, self.dimensions = model, dimensions
        self.max_tokens, self.texts_per_call, self.calls_at_once = 512, texts_per_call, 4
        self.device = ""

    async def embed(self, texts: Sequence[str], asked_for: AskedFor) -> Vectors:
        seed = int.from_bytes(hashlib.sha256(texts[0].encode()).digest()[:4], "big")
        rows = np.random.default_rng(seed).standard_normal((len(texts), self.dimensions)).astype("<f4")
        vectors: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return vectors
