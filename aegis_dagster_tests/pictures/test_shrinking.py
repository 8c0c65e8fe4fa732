"""Making pictures small enough to be sent."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from aegis_dagster.pictures.shrinking import shrunk


def photograph(path: Path, size: tuple[int, int]) -> Path:
    """A picture of many colours."""
    Image.merge("RGB", [Image.linear_gradient("L").resize(size).rotate(angle) for angle in (0, 90, 180)]).save(path)
    return path


@pytest.mark.parametrize(
    ("size", "sent"),
    [((2000, 1000), (256, 128)), ((1000, 2000), (128, 256)), ((256, 256), (256, 256)), ((60, 50), (60, 50))],
)
def test_a_photograph_is_sent_as_jpeg_with_its_proportions(
    tmp_path: Path, size: tuple[int, int], sent: tuple[int, int]
) -> None:
    picture = shrunk(photograph(tmp_path / "photo.png", size), 256)
    opened = Image.open(BytesIO(picture.data))
    assert (picture.width, picture.height) == opened.size == sent
    assert (picture.media_type, opened.format) == ("image/jpeg", "JPEG")


def test_a_small_drawing_is_sent_pixel_by_pixel(tmp_path: Path) -> None:
    drawn = Image.linear_gradient("L").resize((250, 200)).convert("RGB")
    ImageDraw.Draw(drawn).rectangle((20, 20, 90, 60), fill=(1, 2, 3))
    drawn.save(tmp_path / "drawn.png")
    sent = Image.open(BytesIO(shrunk(tmp_path / "drawn.png", 256).data))
    assert sent.format == "PNG"
    assert sent.convert("RGB").tobytes() == drawn.tobytes()


def test_a_line_keeps_a_pixel_when_it_is_made_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 3), "red").save(tmp_path / "line.png")
    picture = shrunk(tmp_path / "line.png", 256)
    assert (picture.width, picture.height) == (256, 1)


def test_what_a_file_says_beside_its_pixels_is_not_sent(tmp_path: Path) -> None:
    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", "SECRET comment")
    Image.new("RGB", (80, 60), "red").save(tmp_path / "drawn.png", pnginfo=words)
    exif = Image.Exif()
    exif[0x010E] = "SECRET place"
    photo = Image.open(photograph(tmp_path / "raw.png", (300, 200)))
    photo.save(tmp_path / "photo.jpg", exif=exif, comment=b"SECRET comment", icc_profile=b"SECRET profile")
    assert b"SECRET" in (tmp_path / "photo.jpg").read_bytes()
    for name in ("drawn.png", "photo.jpg"):
        assert b"SECRET" not in shrunk(tmp_path / name, 256).data
