"""Which pictures are looked at, and which are the same."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from aegis_dagster.domain.pictures import PictureFacts, reason_to_skip
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.pictures.select import picture_facts


def chart(folder: Path, name: str, mode: str = "RGB") -> Path:
    """A small drawing in four colours."""
    picture = Image.new("RGB", (120, 80), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((10, 10, 40, 70), fill="red")
    draw.rectangle((50, 30, 80, 70), fill="blue")
    draw.line((0, 79, 120, 79), fill="black")
    picture.convert(mode).save(folder / name)
    return folder / name


@pytest.mark.parametrize(
    ("width", "height", "colors", "reason"),
    [
        (400, 300, 200, None),
        (47, 300, 200, "too_small"),
        (300, 47, 200, "too_small"),
        (48, 48, 3, None),
        (1201, 100, 200, "extreme_aspect"),
        (100, 1201, 200, "extreme_aspect"),
        (1200, 100, 200, None),
        (400, 300, 2, "few_colors"),
    ],
)
def test_small_long_and_plain_pictures_are_skipped(width: int, height: int, colors: int, reason: str | None) -> None:
    facts = PictureFacts(content_hash="", width=width, height=height, colors=colors)
    assert reason_to_skip(facts, min_side_pixels=48, max_aspect=12.0, min_colors=3) == reason


def test_the_facts_of_a_picture(tmp_path: Path) -> None:
    facts = picture_facts(chart(tmp_path, "chart.png"))
    assert (facts.width, facts.height, facts.colors) == (120, 80, 4)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("format_", ["png", "tiff"])
def test_equal_pixels_have_equal_hashes_in_any_file(tmp_path: Path, mode: str, format_: str) -> None:
    original = picture_facts(chart(tmp_path, "original.png"))
    assert picture_facts(chart(tmp_path, f"other.{format_}", mode)).content_hash == original.content_hash


def test_equal_bytes_in_another_shape_are_another_picture(tmp_path: Path) -> None:
    for name, size in (("wide.png", (60, 40)), ("tall.png", (40, 60))):
        Image.new("RGB", size, "white").save(tmp_path / name)
    assert picture_facts(tmp_path / "wide.png").content_hash != picture_facts(tmp_path / "tall.png").content_hash


def test_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (60, 60), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGB", (60, 60), "white").save(tmp_path / "white.png")
    clear, white = picture_facts(tmp_path / "clear.png"), picture_facts(tmp_path / "white.png")
    assert clear == white
    assert clear.colors == 1


def test_colors_are_counted_up_to_256(tmp_path: Path) -> None:
    picture = Image.merge("RGB", [Image.effect_noise((99, 99), 90) for _ in range(3)])
    picture.save(tmp_path / "many.png")
    assert picture_facts(tmp_path / "many.png").colors == 256


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_damaged_picture_is_an_error_of_its_document_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DocumentError, match="Remedy") as caught:
        picture_facts(tmp_path / "bad.png")
    assert caught.value.code == FailureCode.ENRICHMENT_FAILED


def test_a_truncated_picture_is_an_error(tmp_path: Path) -> None:
    whole = tmp_path / "noise.png"
    Image.effect_noise((300, 300), 80).save(whole)
    whole.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(DocumentError):
        picture_facts(whole)
