"""The command `aegis`."""

from aegis_dagster.cli.app import main

__all__ = ["main"]
