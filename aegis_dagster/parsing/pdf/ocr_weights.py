"""Paths of the OCR weights. The rapidocr wheel ships them, so that none are downloaded."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OcrWeights:
    """Paths of ONNX files; None where the wheel ships none: rapidocr then looks for its own."""

    detection: str | None
    recognition: str | None
    orientation: str | None


def shipped_ocr_weights() -> OcrWeights:
    """The weights in the rapidocr wheel. rapidocr itself is not imported."""
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec is not None and spec.origin is not None else None

    def first(pattern: str) -> str | None:
        return str(min(folder.glob(pattern), default="")) or None if folder is not None else None

    return OcrWeights(first("*_det_*.onnx"), first("*_rec_*.onnx"), first("*_cls_*.onnx"))
