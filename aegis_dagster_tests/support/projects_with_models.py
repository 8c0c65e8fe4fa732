"""Projects whose pictures, chunks and vectors go to the scripted server, and documents with pictures."""

from pathlib import Path
from typing import Any

from aegis_dagster.composition.project import Project
from aegis_dagster_tests.support.llm_server import LLMServer
from aegis_dagster_tests.support.projects import make_project

PRICE = {"input": "1", "output": "2"}
SEEING, READING, EMBEDDING = "sees", "reads", "embeds"
TEXTS_PER_CALL = 10  # of the embedding model


def llm_settings(server: LLMServer, *, limit_usd: str = "100", **section: Any) -> dict[str, Any]:
    """The section `llm` with the scripted server as paid provider `openai` and three models."""
    models = {
        SEEING: {"tasks": ["image_description"]},
        READING: {"tasks": ["entity_extraction", "summary"]},
        EMBEDDING: {
            "tasks": ["embedding"],
            "dimensions": 8,
            "max_input_tokens": 512,
            "texts_per_call": TEXTS_PER_CALL,
        },
    }
    return {
        "tiers": ["openai"],
        "providers": {"openai": {"base_url": server.v1, "api_key_variable": None, "models": models, "attempts": 1}},
        "prices": {f"openai/{model}": PRICE for model in models},
        "budgets": {"providers": {"openai": limit_usd}},
        "rest_after_failures": 1000,
        **section,
    }


def project_with_models(folder: Path, server: LLMServer, *, limit_usd: str = "100", **settings: Any) -> Project:
    """A project that asks the scripted server, with a limit of so many USD a month."""
    return make_project(folder, llm=llm_settings(server, limit_usd=limit_usd), **settings)


def write_picture_document(
    path: Path, *, pictures: int = 1, text: str = "The harbour of Eastmere has a tide gauge."
) -> None:
    """A Word document with pictures that differ, each with shapes enough to be looked at."""
    import docx
    from PIL import Image, ImageDraw

    path.parent.mkdir(parents=True, exist_ok=True)
    document = docx.Document()
    document.add_heading("Harbour report", 1)
    document.add_paragraph(text)
    for number in range(pictures):
        picture = Image.new("RGB", (320, 240), "white")
        draw = ImageDraw.Draw(picture)
        for bar in range(6):
            draw.rectangle(
                (20 + bar * 45, 40 + bar * 20 + number * 7, 50 + bar * 45, 220), fill=(40 * bar, 90, 200 - 30 * bar)
            )
        file = path.with_suffix(f".{number}.png")
        picture.save(file)
        document.add_picture(str(file))
        file.unlink()
        document.add_paragraph(f"Below stands figure {number + 1}.")
    document.save(str(path))
