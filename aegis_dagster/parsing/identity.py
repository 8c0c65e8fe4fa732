"""The parser's identity, which is part of the parse fingerprint, and the choice of the PDF route.

Cheap to import: needs neither docling nor torch.
"""

from pathlib import Path
from typing import Final, Literal

from aegis_dagster.errors import ConfigurationError
from aegis_dagster.pins import pinned

# Raise it whenever this package writes something else for the same bytes.
RULES_VERSION: Final = "2"

# Folders of `docling-tools models download -o DIR`: the organisation, two dashes, the repository.
_LAYOUT_REPOSITORY: Final = "docling-project--docling-layout-heron"
_TABLE_REPOSITORY: Final = "docling-project--docling-models"
_LAYOUT_WEIGHTS: Final = "model.safetensors"
_TABLE_WEIGHTS: Final = "model_artifacts/tableformer/accurate/tm_config.json"


def parse_identity(pdf_route: str, ocr: bool) -> str:
    """Everything outside the settings that affects the output of parsing, as one line."""
    parts = [f"rules {RULES_VERSION}", f"route {pdf_route}"]
    parts += [f"{name} {pinned(name)}" for name in ("docling", "docling-core", "docling-parse", "pdfplumber")]
    parts.append(f"rapidocr {pinned('rapidocr')}" if ocr else "no ocr")
    return ", ".join(parts)


def choose_pdf_route(setting: Literal["auto", "models", "rules"], models_dir: Path) -> Literal["models", "rules"]:
    """The route for PDFs and pictures: `auto` takes the models where their weights are on this machine.

    Raises ConfigurationError for `models` without weights.
    """
    if setting == "rules":
        return "rules"
    if has_weights(models_dir) or _cached_weights():
        return "models"
    if setting == "models":
        raise ConfigurationError(
            f"parse.pdf_route is `models`, but docling's layout and table weights are not in {models_dir}.",
            remedy="pip install 'aegis_dagster[docling-models]' and run "
            f"`docling-tools models download -o {models_dir} layout tableformer`, "
            "or set parse.pdf_route to `auto` or `rules`.",
        )
    return "rules"


def has_weights(models_dir: Path) -> bool:
    """Whether the folder holds the layout and the table model."""
    return (models_dir / _LAYOUT_REPOSITORY / _LAYOUT_WEIGHTS).is_file() and (
        models_dir / _TABLE_REPOSITORY / _TABLE_WEIGHTS
    ).is_file()


def _cached_weights() -> bool:
    """Whether the hub's cache, which docling uses if no folder is set, holds both."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return all(
        any((Path(HF_HUB_CACHE) / f"models--{repository}" / "snapshots").glob(f"*/{weights}"))
        for repository, weights in ((_LAYOUT_REPOSITORY, _LAYOUT_WEIGHTS), (_TABLE_REPOSITORY, _TABLE_WEIGHTS))
    )
