"""What a test needs and this machine has not: told with the remedy, and in CI never passed over."""

import os
from typing import NoReturn

import pytest


def missing(told: str) -> NoReturn:
    """Skip the test or fixture that asks; where `CI` is set fail it. told: what is missing and what brings it."""
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)
