"""The paths of the repository and of the corpora beside it."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SAMPLES = REPOSITORY / "samples"
CORPORA = REPOSITORY.parent / "shared" / "corpora"
PEPS = CORPORA / "peps" / "2025-06-01.tar.gz"
