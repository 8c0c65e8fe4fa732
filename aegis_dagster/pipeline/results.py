"""The results that a caller of the pipeline sees: small values and references to artifacts."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aegis_dagster.domain.chunks import Box, LocatedChunk

_PREVIEW_CHARACTERS = 500


def parsed_values(folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """`parsed_content` and `page_dimensions` of a parse artifact."""
    parsed = json.loads((folder / "document.json").read_text("utf-8"))
    preview = "\n".join(item["text"] for item in parsed.get("texts", [])[:20])[:_PREVIEW_CHARACTERS]
    pages = {int(number): page["size"] for number, page in parsed.get("pages", {}).items()}
    return {"parsed_content": {**facts, "artifact": str(folder), "preview": preview}, "page_dimensions": pages}


def shown_chunk(located: LocatedChunk, picture_boxes: Mapping[str, list[Box]]) -> dict[str, Any]:
    """One entry of `chunks`."""
    chunk = located.chunk
    return {
        "chunk": {
            "id": located.id,
            "text": chunk.text,
            "headings": list(chunk.headings),
            "pages": list(chunk.pages),
            "boxes": [asdict(box) for box in chunk.boxes],
        },
        "image_bboxes": [
            {"picture": picture, **asdict(box)} for picture in chunk.pictures for box in picture_boxes.get(picture, [])
        ],
    }


def picture_boxes(parsed: Path) -> dict[str, list[Box]]:
    """The box of each picture, in the coordinates of all boxes: points from the page's top-left corner."""
    document = json.loads((parsed / "document.json").read_text("utf-8"))
    heights = {int(number): page["size"]["height"] for number, page in document.get("pages", {}).items()}
    return {
        item["self_ref"]: [_box(prov, heights.get(prov["page_no"], 0.0)) for prov in item.get("prov", [])]
        for item in document.get("pictures", [])
    }


def _box(prov: dict[str, Any], height: float) -> Box:
    box = prov["bbox"]
    top, bottom = box["t"], box["b"]
    if box.get("coord_origin") == "BOTTOMLEFT":
        top, bottom = height - top, height - bottom
    return Box(prov["page_no"], round(box["l"], 2), round(top, 2), round(box["r"], 2), round(bottom, 2))
