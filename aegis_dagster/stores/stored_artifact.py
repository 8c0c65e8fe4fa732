"""The manifest of an artifact in a bucket: which files it has, and where their bytes are.

A manifest is the object `<stage>/<first two characters>/<fingerprint>.json`. The bytes of each file are the object
`data/<writer>/<stage>-<fingerprint>-<random>/<sha256>`, which is written before and never changed.
"""

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from aegis_dagster.domain.stages import Stage
from aegis_dagster.stores.artifact_files import CHECKSUMS, Checksums

DATA = "data"
_FORMAT = 1
_NAMED = re.compile(r"(?P<stage>[a-z]+)-(?P<fingerprint>[0-9a-f]+)-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class StoredArtifact:
    """What a manifest says."""

    stage: Stage
    fingerprint: str
    data: str  # the folder of its objects below `data/`: no two writes have the same
    files: Checksums

    @property
    def total_bytes(self) -> int:
        """The size of all files."""
        return sum(int(size) for size, _ in self.files.values())

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each object by its SHA-256; equal files are one object."""
        return {str(content_hash): int(size) for size, content_hash in self.files.values()}

    @property
    def objects(self) -> list[str]:
        """The names of its objects without the manifest."""
        return [self.object(content_hash) for content_hash in self.sizes]

    def object(self, content_hash: str) -> str:
        """The name of the object with a content."""
        return f"{DATA}/{self.data}/{content_hash}"

    def text(self) -> bytes:
        """What the manifest holds."""
        return json.dumps({"format": _FORMAT, "data": self.data, "files": self.files}, sort_keys=True).encode()


def manifest_of(stage: Stage, fingerprint: str) -> str:
    """The name of an artifact's manifest."""
    return f"{stage}/{fingerprint[:2]}/{fingerprint}.json"


def read_manifest(stage: Stage, fingerprint: str, text: bytes) -> StoredArtifact:
    """The artifact that a manifest tells of. Raises ValueError: it is damaged, or of another version."""
    told = json.loads(text)
    if not isinstance(told, dict) or told.get("format") != _FORMAT:
        raise ValueError("format")
    data, files = told.get("data"), told.get("files")
    if not isinstance(data, str) or artifact_named(data) != (stage, fingerprint) or not isinstance(files, dict):
        raise ValueError("files")
    for name, said in files.items():
        if not _is_safe(name) or not _is_checksum(said):
            raise ValueError("name")
    return StoredArtifact(stage, fingerprint, data, files)


def artifact_named(data: str) -> tuple[Stage, str] | None:
    """Stage and fingerprint in the name of a folder below `data/`; None: it is none of ours."""
    writer, _, name = data.partition("/")
    named = _NAMED.fullmatch(name)
    if not _is_safe(data) or not writer or named is None or named["stage"] not in set(Stage):
        return None
    return Stage(named["stage"]), named["fingerprint"]


def _is_safe(name: str) -> bool:
    """Whether a name stays below the folder that it is put into. Who writes into the bucket may have changed it."""
    path = PurePosixPath(name)
    plain = str(path) == name and not path.is_absolute() and ".." not in path.parts and "\0" not in name
    return plain and path.name not in ("", CHECKSUMS)


def _is_checksum(said: object) -> bool:
    if not isinstance(said, list) or len(said) != 2:
        return False
    size, content_hash = said
    sized = isinstance(size, int) and size >= 0
    return sized and isinstance(content_hash, str) and bool(re.fullmatch("[0-9a-f]{64}", content_hash))
