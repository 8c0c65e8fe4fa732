"""What this process must have in its environment before a library is imported.

Belongs here: variables that libraries read at import and that no argument replaces.
Does not belong here: our own settings (`settings.py`).
"""

import os


def keep_litellm_offline() -> None:
    """Call before the first import of litellm: no price map from the network, no `.env` of the working folder."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_MODE"] = "PRODUCTION"
