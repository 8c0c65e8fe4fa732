"""What the tests of paging share."""

from aegis_dagster_tests.paging.watched import watched

__all__ = ["watched"]
