"""Compares the embedder with bare sentence-transformers on PEP passages, in one run, in turns.

    .venv/bin/python -m scripts.benchmark_embedding [PASSAGES]

Prints texts per second of both and their ratio (needed: 0.9). Needs ../shared/corpora or AEGIS_CORPORA.
"""

import sys

from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster.settings import load_settings
from aegis_dagster_tests.support.embedding_throughput import compare, pep_passages


def main() -> None:
    passages = pep_passages(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
    if passages is None:
        raise SystemExit("The PEPs are not in ../shared/corpora/peps.")
    settings = load_settings()
    found = compare(ensure_model(settings.model_cache), passages, batch_size=settings.embed.batch_size, rounds=3)
    print(f"passages              {len(passages)}, {found.tokens / len(passages):.0f} tokens on average")
    print(f"sentence-transformers {found.reference:.1f} texts/s")
    print(f"MiniLmEmbedder        {found.ours:.1f} texts/s")
    print(f"ratio                 {found.ratio:.2f}")
    print(f"largest difference    {found.difference:.1e}")


if __name__ == "__main__":
    main()
