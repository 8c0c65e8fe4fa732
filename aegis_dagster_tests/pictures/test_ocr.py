"""Reading the text in pictures with the engine that ships its weights."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.pictures.ocr import OCR_TASK, OcrDescriber, ocr_task


class ThisProcess:
    """A task runner that runs the task where it stands, and remembers what it was asked."""

    def __init__(self) -> None:
        self.time_limits: list[float] = []

    async def run(self, task: str, payload: dict[str, Any], *, timeout_seconds: float) -> dict[str, Any]:
        assert task == OCR_TASK
        self.time_limits.append(timeout_seconds)
        return ocr_task(payload)


def write_on(picture: Image.Image, texts: dict[tuple[int, int], str]) -> None:
    """Write the texts at their places."""
    draw = ImageDraw.Draw(picture)
    for place, text in texts.items():
        draw.text(place, text, fill="black", font=ImageFont.load_default(28))


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """A picture with a title and two labels side by side."""
    picture = Image.new("RGB", (480, 160), "white")
    write_on(picture, {(20, 20): "Revenue by quarter", (280, 94): "South 815", (20, 90): "North 4711"})
    picture.save(tmp_path / "chart.png")
    return tmp_path / "chart.png"


async def test_the_text_of_a_picture_is_read_line_by_line(chart: Path) -> None:
    runner = ThisProcess()
    description = await OcrDescriber(runner, timeout_seconds=30).describe(chart, AskedFor())
    assert description.text == "Revenue by quarter\nNorth 4711 South 815"
    assert description.described_by == f"ocr/rapidocr-{version('rapidocr')}"
    assert runner.time_limits == [30]


async def test_a_picture_without_text_gives_no_text(tmp_path: Path) -> None:
    Image.new("RGB", (200, 120), "white").save(tmp_path / "empty.png")
    description = await OcrDescriber(ThisProcess(), timeout_seconds=30).describe(tmp_path / "empty.png", AskedFor())
    assert description.text == ""


def test_black_text_on_transparency_is_read(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (320, 80), (0, 0, 0, 0))
    write_on(picture, {(20, 20): "Transparent words"})
    picture.save(tmp_path / "clear.png")
    assert ocr_task({"path": str(tmp_path / "clear.png")}) == {"text": "Transparent words"}


async def test_an_unreadable_picture_is_an_error_of_its_document(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DocumentError, match=r"bad\.png cannot be decoded") as caught:
        await OcrDescriber(ThisProcess(), timeout_seconds=30).describe(tmp_path / "bad.png", AskedFor())
    assert caught.value.code == FailureCode.ENRICHMENT_FAILED


def test_naming_the_describer_loads_no_engine() -> None:
    script = (
        "import sys\n"
        "from aegis_dagster.pictures.ocr import OcrDescriber\n"
        "OcrDescriber(None, 1.0)\n"
        "print(sorted({'rapidocr', 'cv2', 'onnxruntime', 'PIL', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_the_engine_is_quiet_about_pictures_without_text(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (200, 120), "white").save(tmp_path / "empty.png")
    ocr_task({"path": str(tmp_path / "empty.png")})
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
