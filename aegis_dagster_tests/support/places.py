"""Where the repository and the corpora beside it are."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SAMPLES = REPOSITORY / "samples"
CORPORA = REPOSITORY.parent / "shared" / "corpora"
PEPS = CORPORA / "peps" / "2025-06-01.tar.gz"
