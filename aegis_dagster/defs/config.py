"""Partitions and run config: what an operator chooses in the launchpad.

Belongs here: the collection partitions and typed run config. Does not belong here: settings of the project.
"""

import fnmatch
import re
from collections.abc import Sequence

import dagster as dg
from pydantic import Field

from aegis_dagster.domain.stages import Document

collections = dg.DynamicPartitionsDefinition(name="collections")


class StageConfig(dg.Config):
    """Which documents of the collection, and whether to do again what is done."""

    documents: list[str] = Field(
        default_factory=list,
        description="Only documents whose id (path below the watched root) is one of these, or matches one of "
        "these patterns, e.g. 'handbook/*.pdf'. Empty: all.",
    )
    force: bool = Field(
        default=False, description="Do again what is up to date. Caches still answer: nothing is paid twice."
    )


class ParseConfig(StageConfig):
    """What parsing adds: looking at the watched root first."""

    scan_root: bool = Field(default=True, description="Look for new, changed, moved and deleted files first.")
    confirm_deletions: bool = Field(
        default=False, description="Let a listing delete more documents at once than the guard allows."
    )


def chosen(documents: Sequence[Document], config: StageConfig) -> list[Document]:
    """The documents that the run config picks."""
    if not config.documents:
        return list(documents)
    literal = set(config.documents)
    patterns = [re.compile(fnmatch.translate(pattern)) for pattern in literal if set(pattern) & set("*?[")]
    return [
        document
        for document in documents
        if document.id in literal or any(pattern.match(document.id) for pattern in patterns)
    ]
