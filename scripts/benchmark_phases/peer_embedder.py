"""The embedding of the peers: over HTTP as the OpenAI API asks, or MiniLM on onnxruntime.

Runs in the peers' virtual environment, so it imports nothing of this project. The vectors equal those of ours.
"""

import json
import sys
from http.client import HTTPConnection
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import urlsplit

BATCH = 64  # texts a call
DIMENSIONS = 384
MAX_TOKENS = 256


class PeerEmbedder:
    """`place`: the base URL of an API, or the folder of the exported MiniLM."""

    def __init__(self, place: str, model: str) -> None:
        self.model = model
        self.calls = 0
        self.texts = 0
        self._place = place
        self._of_thread = local()
        self._session: Any = None
        self._tokenizer: Any = None

    def embed(self, texts: list[str]) -> list[list[float]]:
        """One call."""
        self.calls += 1
        self.texts += len(texts)
        return self._ask(texts) if self._place.startswith("http") else self._run(texts)

    def _ask(self, texts: list[str]) -> list[list[float]]:
        address = urlsplit(self._place)
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = HTTPConnection(address.netloc, timeout=60)
        connection: HTTPConnection = self._of_thread.connection
        body = json.dumps({"model": self.model, "input": texts, "dimensions": DIMENSIONS})
        connection.request("POST", f"{address.path}/embeddings", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        return [each["embedding"] for each in sorted(answer["data"], key=lambda each: each["index"])]

    def _run(self, texts: list[str]) -> list[list[float]]:
        import numpy as np

        if self._session is None:
            import onnxruntime
            from tokenizers import Tokenizer

            self._session = onnxruntime.InferenceSession(str(Path(self._place) / "model.onnx"))
            self._tokenizer = Tokenizer.from_file(str(Path(self._place) / "tokenizer.json"))
            self._tokenizer.enable_truncation(MAX_TOKENS)
            self._tokenizer.enable_padding()
        encoded = self._tokenizer.encode_batch(texts)
        asked = {
            "input_ids": np.array([each.ids for each in encoded]),
            "attention_mask": np.array([each.attention_mask for each in encoded]),
        }
        vectors: list[list[float]] = self._session.run(None, asked)[0].tolist()
        return vectors


def arguments() -> tuple[Path, Path, PeerEmbedder]:
    """What `runs.py` hands over: DOCUMENTS STORE PLACE MODEL."""
    documents, store, place, model = sys.argv[1:]
    return Path(documents), Path(store), PeerEmbedder(place, model)


def report(embedder: PeerEmbedder, passages: int) -> None:
    """What `runs.py` reads: the last line of the output."""
    print(json.dumps({"embedded": embedder.texts, "calls": embedder.calls, "passages": passages}))
