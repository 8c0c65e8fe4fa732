"""The embedder against vectors that sentence-transformers 6.2 made of the same weights with torch 2.15."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from aegis_dagster.embedding.minilm import MiniLmEmbedder
from aegis_dagster.errors import ConfigurationError

# Short, empty, long beyond 256 tokens, in many scripts, code, tables, control characters.
REFERENCE = json.loads(Path(__file__).with_name("reference_vectors.json").read_text("utf-8"))
TEXTS: list[str] = [row["text"] for row in REFERENCE]


def test_vectors_equal_those_of_sentence_transformers(embedder: MiniLmEmbedder) -> None:
    ours = embedder.embed_now(TEXTS)
    assert ours.dtype == np.float32
    assert ours.shape == (20, embedder.dimensions)
    assert np.abs(ours - np.array([row["vector"] for row in REFERENCE])).max() < 1e-5


def test_rows_have_length_one(embedder: MiniLmEmbedder) -> None:
    assert np.allclose(np.linalg.norm(embedder.embed_now(TEXTS), axis=1), 1.0, atol=1e-5)


def test_a_text_has_the_same_vector_wherever_it_stands_in_whatever_batch(model_folder: Path) -> None:
    together = MiniLmEmbedder(model_folder, batch_size=3, threads=1).embed_now(TEXTS)
    single = MiniLmEmbedder(model_folder, batch_size=1, threads=2)
    for text, row in zip(TEXTS, together, strict=True):
        assert np.abs(single.embed_now([text])[0] - row).max() < 1e-5


def test_what_is_beyond_the_limit_of_tokens_changes_nothing(embedder: MiniLmEmbedder) -> None:
    within, beyond = embedder.embed_now(["word " * 254 + "end", "word " * 254 + "something else entirely"])
    assert np.array_equal(within, beyond)


def test_no_texts_give_no_rows(embedder: MiniLmEmbedder) -> None:
    assert embedder.embed_now([]).shape == (0, embedder.dimensions)


def test_a_lone_surrogate_is_embedded_as_a_question_mark(embedder: MiniLmEmbedder) -> None:
    broken, mended = embedder.embed_now(["broken \ud83d text", "broken ? text"])
    assert np.array_equal(broken, mended)


def test_threads_may_share_an_embedder(model_folder: Path) -> None:
    shared = MiniLmEmbedder(model_folder, batch_size=4, threads=1)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: shared.embed_now(TEXTS[:6]), range(4)))
    for result in results[1:]:
        assert np.abs(result - results[0]).max() < 1e-6


def test_a_missing_model_is_reported_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="AEGIS_MODEL_CACHE"):
        MiniLmEmbedder(tmp_path, batch_size=8, threads=0).embed_now(["text"])


def test_a_question_is_embedded_without_torch(model_folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from aegis_dagster.embedding.minilm import MiniLmEmbedder\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "print(MiniLmEmbedder(Path(sys.argv[1]), batch_size=8, threads=0).embed_now(['why?']).shape)\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(model_folder)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "(1, 384)", done.stderr
    assert done.returncode == 0, done.stderr
