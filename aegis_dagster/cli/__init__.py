"""The command `aegis`.

Belongs here: arguments, layout for people, JSON for programs. Does not belong here: anything another
caller could need.
"""

from aegis_dagster.cli.app import main

__all__ = ["main"]
