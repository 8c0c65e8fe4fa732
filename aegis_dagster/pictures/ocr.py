"""Reads the text in a picture: the describer that needs no model except the one in its package."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from aegis_dagster.device import ocr_engine
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.pictures.pixels import open_rgb
from aegis_dagster.pins import pinned
from aegis_dagster.ports import PictureDescription, TaskRunner

OCR_TASK = "ocr"


class OcrDescriber:
    """Describes a picture by the text in it. Implements `ports.PictureDescriber`."""

    name: str = f"ocr/rapidocr-{pinned('rapidocr')}"
    accepted: tuple[str, ...] = (name,)

    def __init__(self, runner: TaskRunner, timeout_seconds: float, device: str = "auto") -> None:
        """device: of the settings."""
        self._runner = runner
        self._device = device
        self._timeout_seconds = timeout_seconds

    async def describe(self, picture: Path, asked_for: AskedFor) -> PictureDescription:
        """The text in the picture, empty when there is none.

        Raises DocumentError ENRICHMENT_FAILED when the file is no readable picture, or what the runner raises.
        """
        payload = {"path": str(picture), "device": self._device}
        result = await self._runner.run(OCR_TASK, payload, timeout_seconds=self._timeout_seconds)
        return PictureDescription(text=result["text"], described_by=self.name)


def ocr_task(payload: dict[str, Any]) -> dict[str, Any]:
    """Read the picture at `path`: {"text": lines from top to bottom, words of a line from left to right}.

    Runs in a worker. Raises DocumentError ENRICHMENT_FAILED when the file is no readable picture.
    """
    import numpy as np

    picture = open_rgb(Path(payload["path"]))
    blue_green_red = np.ascontiguousarray(np.asarray(picture)[:, :, ::-1])  # OpenCV's order of channels
    result = _engine(payload.get("device", "auto"))(blue_green_red)
    if result.boxes is None:
        return {"text": ""}
    return {"text": reading_order([_Word.of(box, text) for box, text in zip(result.boxes, result.txts, strict=True)])}


@dataclass(frozen=True, slots=True)
class _Word:
    """Text that was found in one box, in pixels from the picture's top-left corner."""

    text: str
    left: float
    top: float
    bottom: float

    @staticmethod
    def of(corners: Sequence[Sequence[float]], text: str) -> "_Word":
        """A word from the four corners that rapidocr returns: x and y of each."""
        heights = [float(y) for _, y in corners]
        return _Word(text, min(float(x) for x, _ in corners), min(heights), max(heights))

    @property
    def middle(self) -> float:
        """The y coordinate of the middle of the text."""
        return (self.top + self.bottom) / 2


def reading_order(words: Sequence[_Word]) -> str:
    """The texts, those side by side joined to one line, lines from top to bottom."""
    lines: list[list[_Word]] = []
    for word in sorted(words, key=lambda word: (word.middle, word.left)):
        if lines and lines[-1][0].top <= word.middle <= lines[-1][0].bottom:
            lines[-1].append(word)
        else:
            lines.append([word])
    return "\n".join(" ".join(word.text for word in sorted(line, key=lambda word: word.left)) for line in lines)


@lru_cache(maxsize=1)
def _engine(device: str) -> Any:
    """The OCR engine with the weights in its wheel. Loaded once per process; takes 0.6 GB with its imports."""
    from rapidocr import EngineType, RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",  # it reports every picture without text as a warning
            "Det.engine_type": EngineType.ONNXRUNTIME,
            "Cls.engine_type": EngineType.ONNXRUNTIME,
            "Rec.engine_type": EngineType.ONNXRUNTIME,
            # One thread per worker, several workers: a second thread doubles the CPU seconds of a picture.
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            **ocr_engine(device),
        }
    )
