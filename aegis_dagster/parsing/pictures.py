"""Writes the pictures of a parsed document as files beside it.

`write_pictures` gives every picture item a relative address, or none if the picture cannot be shown or is left out.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from aegis_dagster.parsing.formats import IMAGE_FORMATS

if TYPE_CHECKING:
    from docling_core.types.doc.document import DoclingDocument
    from docling_core.types.doc.items.picture.picture import PictureItem
    from PIL.Image import Image

FOLDER: Final = "pictures"
_SCALE: Final = 2.0  # pixels per point: 144 dots per inch, enough to read the labels of a chart
_POINTS_PER_INCH: Final = 72
# Modes that PNG stores as they are; others (CMYK, YCbCr, float) are converted to RGB.
_PNG_MODES: Final = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


class PageRenderer(Protocol):
    """Draws pages."""

    def render(self, page_no: int) -> "Image":
        """The page (1-based) at `_SCALE` pixels per point."""
        ...


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How many pictures of a document are kept."""

    count: int
    megabytes: int  # of different ones: equal pictures are one file


def write_pictures(
    document: "DoclingDocument", data: bytes, kind: str, out_dir: Path, limits: PictureLimits
) -> tuple[list[str], int]:
    """Write each picture to `out_dir/pictures/picture-NNNN.png` and refer to it by that relative path.

    Returns warnings about pictures that cannot be shown or are left out, and how many are left out. Page and table
    images are dropped.
    """
    for page in document.pages.values():
        page.image = None
    for table in document.tables:
        table.image = None
    if not document.pictures:
        return [], 0
    (out_dir / FOLDER).mkdir(exist_ok=True)
    warnings = []
    written = _Written(out_dir, limits)
    with _renderer(data, kind) as renderer:
        cutter = _Cutter(document, renderer)
        for number, picture in enumerate(document.pictures):
            if written.full:
                written.leave_out(picture)
                continue
            try:
                image = cutter.image_of(picture)
            except (OSError, ValueError, SyntaxError, AttributeError):
                warnings.append(f"picture {number} cannot be shown")
                image = None
            written.refer(picture, image, number)
    if written.left_out:
        warnings.append(f"{written.left_out} of {len(document.pictures)} pictures are left out: {written.full}.")
    return warnings, written.left_out


class _Written:
    """The pictures of one document on the disk. Equal ones are links to one file."""

    def __init__(self, out_dir: Path, limits: PictureLimits) -> None:
        self._out_dir = out_dir
        self._limits = limits
        self._first: dict[str, Path] = {}  # by content
        self._count = self._bytes = 0
        self.left_out = 0
        self.full = ""  # which limit is reached

    def refer(self, picture: "PictureItem", image: "Image | None", number: int) -> None:
        """Write a picture and refer to it, unless a limit is reached."""
        if image is None:
            picture.image = None
            return
        if self._count >= self._limits.count:
            self.full = f"parse.max_pictures is {self._limits.count:,}"
        else:
            path = Path(FOLDER) / f"picture-{number:04d}.png"
            shown = image if image.mode in _PNG_MODES else image.convert("RGB")
            self._write(shown, path)
        if self.full:
            self.leave_out(picture)
        else:
            self._count += 1
            _refer(picture, shown, path)

    def leave_out(self, picture: "PictureItem") -> None:
        """Keep the place of a picture only."""
        picture.image = None
        self.left_out += 1

    def _write(self, image: "Image", path: Path) -> None:
        target, content = self._out_dir / path, _content_of(image)
        first = self._first.setdefault(content, target)
        if first is not target:
            try:
                os.link(first, target)
            except OSError:  # too many links to it, or a file system without any
                first = self._first[content] = target
        if first is target:
            image.save(target, format="PNG")
            self._bytes += target.stat().st_size
            if self._bytes > self._limits.megabytes * 1_000_000:
                target.unlink()
                self.full = f"parse.max_picture_megabytes is {self._limits.megabytes:,}"


def _content_of(image: "Image") -> str:
    """Equal for pictures of which PNG makes equal files."""
    content = hashlib.sha256(repr((image.mode, image.size, sorted(image.info.items(), key=str))).encode())
    content.update(bytes(image.getpalette() or ()) if image.mode == "P" else b"")
    content.update(image.tobytes())
    return content.hexdigest()


def _refer(picture: "PictureItem", shown: "Image", path: Path) -> None:
    from docling_core.types.doc.base import Size
    from docling_core.types.doc.common.reference import ImageRef

    dpi = picture.image.dpi if picture.image is not None else round(_SCALE * _POINTS_PER_INCH)
    size = Size(width=shown.width, height=shown.height)
    picture.image = ImageRef(mimetype="image/png", dpi=dpi, size=size, uri=path)


class _Cutter:
    """Finds a picture's pixels in the document or on its page; the last rendered page is kept."""

    def __init__(self, document: "DoclingDocument", renderer: PageRenderer | None) -> None:
        self._document = document
        self._renderer = renderer
        self._page_no = 0
        self._page: Image | None = None

    def image_of(self, picture: "PictureItem") -> "Image | None":
        """The picture's pixels; None if there are none. Raises Pillow's errors for broken ones."""
        if picture.image is not None:
            return picture.image.pil_image
        if self._renderer is None or not picture.prov:
            return None
        place = picture.prov[0]
        size = self._document.pages[place.page_no].size
        box = place.bbox.to_top_left_origin(size.height)
        page = self._render(place.page_no)
        across, down = page.width / size.width, page.height / size.height
        edges = (
            max(0, int(box.l * across)),
            max(0, int(box.t * down)),
            min(page.width, round(box.r * across)),
            min(page.height, round(box.b * down)),
        )
        return page.crop(edges) if edges[0] < edges[2] and edges[1] < edges[3] else None

    def _render(self, page_no: int) -> "Image":
        assert self._renderer is not None
        if self._page is None or self._page_no != page_no:
            self._page, self._page_no = self._renderer.render(page_no), page_no
        return self._page


@contextmanager
def _renderer(data: bytes, kind: str) -> Iterator[PageRenderer | None]:
    if kind == "pdf":
        import pypdfium2

        document = pypdfium2.PdfDocument(data)
        try:
            yield _PdfRenderer(document)
        finally:
            document.close()
    elif kind in IMAGE_FORMATS:
        yield _FrameRenderer(data)
    else:
        yield None


class _PdfRenderer:
    """Pages of a PDF."""

    def __init__(self, document: Any) -> None:
        self._document = document

    def render(self, page_no: int) -> "Image":
        """See PageRenderer."""
        page = self._document[page_no - 1]
        image: Image = page.render(scale=_SCALE).to_pil()
        return image


class _FrameRenderer:
    """Frames of a picture file, in their own pixels, rotated according to their EXIF data."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def render(self, page_no: int) -> "Image":
        """See PageRenderer."""
        from PIL import Image, ImageOps

        with Image.open(io.BytesIO(self._data)) as image:
            image.seek(page_no - 1)
            return ImageOps.exif_transpose(image).convert("RGB")
