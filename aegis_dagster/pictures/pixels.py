"""Opening picture files."""

from pathlib import Path
from typing import TYPE_CHECKING

from aegis_dagster.errors import DocumentError, FailureCode

if TYPE_CHECKING:
    from PIL.Image import Image


def open_rgb(path: Path) -> "Image":
    """The picture as 8-bit RGB, on a white background, rotated according to its EXIF data.

    Raises DocumentError ENRICHMENT_FAILED when the file is missing, damaged, of an unknown format, or far too large.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in ("RGB", "L", "1"):
                return upright.convert("RGB")
            opaque = Image.new("RGBA", upright.size, "white")
            opaque.alpha_composite(
                upright.convert("RGB" if upright.mode in ("CMYK", "I", "F") else "RGBA").convert("RGBA")
            )
            return opaque.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # errors of Pillow's readers
        raise DocumentError(
            FailureCode.ENRICHMENT_FAILED,
            f"The picture {path.name} cannot be decoded.",
            remedy="nothing to do if the picture is decoration; otherwise save it as PNG in the document.",
        ) from error
