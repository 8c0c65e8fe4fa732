"""One canonical hash per store over its present contents.

Two states with equal digests hold the same knowledge, whatever their history.
"""

import hashlib
import json

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.fingerprints import digest_of


def digests(project: Project) -> dict[str, str]:
    """Hashes of catalog, artifacts, vectors and evidence, and of all four together.

    Times, attempts and history do not count. Vectors count by id and payload (which names model and text
    hash), not by their numbers.
    """
    found = {
        "catalog": project.reports.digest(),
        "artifacts": project.artifacts.digest(),
        "vectors": _vectors(project),
        "evidence": project.evidence.digest(),
    }
    return {**found, "all": digest_of(*found.values())}


def _vectors(project: Project) -> str:
    hasher = hashlib.sha256()
    for point in project.vectors.scan():
        hasher.update(f"{point.id} {json.dumps(point.payload, sort_keys=True)}\n".encode())
    return hasher.hexdigest()
