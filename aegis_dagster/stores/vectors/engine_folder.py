"""What the folders of both embedded engines have in common."""

import os
from pathlib import Path

from aegis_dagster.errors import ServiceError
from aegis_dagster.stores.vectors.engines import fault


class EngineFolder:
    """The part of engines.Backend that depends on the folder alone. path: created by the first write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.place = str(path)

    def fault(self, error: Exception) -> ServiceError:
        """As Backend has it."""
        return fault(self.path, error)

    def is_absent(self) -> bool:
        """As Backend has it."""
        return not os.path.lexists(self.path)

    def has(self, collection: str) -> bool:
        """As Backend has it."""
        return (self.path / "collection" / collection).is_dir()
