"""What the tests of paging share."""

from aegis_dagster_tests.support.watched_instance import watched

__all__ = ["watched"]
