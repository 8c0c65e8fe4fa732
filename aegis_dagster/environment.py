"""The environment variables that a process needs: before importing a library, or for the Dagster that it becomes."""

import os
from pathlib import Path


def keep_litellm_offline() -> None:
    """Call before the first import of litellm, so that it loads no price map from the network and no local `.env`."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"


def dagster_environment(home: Path, root: str, dagster_home: Path) -> dict[str, str]:
    """The environment for Dagster's processes on this home, wherever they are started."""
    own = {"AEGIS_HOME": str(home), "AEGIS_ROOT": root, "DAGSTER_HOME": str(dagster_home.absolute())}
    return {**os.environ, **own}
