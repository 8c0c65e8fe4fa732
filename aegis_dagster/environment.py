"""What a process must have in its environment: this one before a library is imported, or one that it becomes."""

import os
from pathlib import Path


def keep_litellm_offline() -> None:
    """Call before the first import of litellm: no price map from the network, no `.env` of the working folder."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"


def dagster_environment(home: Path, root: str, dagster_home: Path) -> dict[str, str]:
    """The environment of a Dagster that works on this home, wherever its processes are started."""
    own = {"AEGIS_HOME": str(home), "AEGIS_ROOT": root, "DAGSTER_HOME": str(dagster_home.absolute())}
    return {**os.environ, **own}
