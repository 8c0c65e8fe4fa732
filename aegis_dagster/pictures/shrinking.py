"""Makes a picture small enough to be sent to a model."""

from io import BytesIO
from pathlib import Path

from aegis_dagster.domain.llm import Picture
from aegis_dagster.pictures.pixels import open_rgb

_FEW_COLORS = 256  # a drawing, not a photograph: JPEG would blur its letters
_JPEG_QUALITY = 85


def shrunk(path: Path, max_side_pixels: int) -> Picture:
    """The picture with a longest side of at most `max_side_pixels`, as PNG when it has few colours, else as JPEG.

    Keeps only the pixels: no comments, places or names from the file's metadata.
    Raises DocumentError ENRICHMENT_FAILED when the file is no readable picture.
    """
    from PIL import Image

    picture = open_rgb(path)
    drawn = picture.getcolors(_FEW_COLORS) is not None  # counted before shrinking, which blends colours
    longest = max(picture.size)
    if longest > max_side_pixels:
        width, height = (max(1, round(side * max_side_pixels / longest)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    picture.info = {}  # Pillow would write the comments and profiles it finds here
    data = BytesIO()
    if drawn:
        # A palette holds all of a drawing's colours, and half the bytes.
        picture.quantize(_FEW_COLORS, dither=Image.Dither.NONE).save(data, "PNG")
    else:
        picture.save(data, "JPEG", quality=_JPEG_QUALITY)
    return Picture(data.getvalue(), "image/png" if drawn else "image/jpeg", picture.width, picture.height)
