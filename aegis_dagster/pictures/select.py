"""The facts about a picture that are known before it is described."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aegis_dagster.domain.pictures import PictureFacts
from aegis_dagster.errors import DocumentError
from aegis_dagster.pictures.pixels import open_rgb

_MOST_COLORS = 256


def picture_facts(path: Path) -> PictureFacts:
    """Size, colours and content hash of a picture file.

    Equal pixels give equal hashes, regardless of the file format, the colour mode and the metadata.
    Raises DocumentError ENRICHMENT_FAILED when the file is no readable picture.
    """
    picture = open_rgb(path)
    content = hashlib.sha256(f"{picture.width}x{picture.height}:".encode())
    content.update(picture.tobytes())
    colors = picture.getcolors(_MOST_COLORS)
    return PictureFacts(
        content_hash=content.hexdigest(),
        width=picture.width,
        height=picture.height,
        colors=_MOST_COLORS if colors is None else len(colors),
    )


def picture_facts_task(payload: dict[str, Any]) -> dict[str, Any]:
    """The facts of the pictures at `paths`: {"facts": [{"content_hash", "width", "height", "colors"} or null]}.

    Runs in a worker. null: the file is no readable picture.
    """
    return {"facts": [_facts_or_none(Path(path)) for path in payload["paths"]]}


def _facts_or_none(path: Path) -> dict[str, Any] | None:
    try:
        return asdict(picture_facts(path))
    except DocumentError:
        return None
