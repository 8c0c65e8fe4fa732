"""ZIP files of XML parts, as office programs write them."""

import io
import zipfile
from collections.abc import Mapping

_TYPES = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/"


def package(parts: Mapping[str, str], links: Mapping[str, Mapping[str, str]]) -> bytes:
    """A ZIP of parts; of each part its links, target by type, with the ids r0, r1, ..."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        for name, targets in links.items():
            folder, _, base = name.rpartition("/")
            lines = (
                f'<Relationship Id="r{number}" Type="{_TYPES}{kind.rstrip("0123456789")}" Target="{target}"/>'
                for number, (kind, target) in enumerate(targets.items())
            )
            namespace = "http://schemas.openxmlformats.org/package/2006/relationships"
            archive.writestr(
                f"{folder}/_rels/{base}.rels".lstrip("/"),
                f'<Relationships xmlns="{namespace}">{"".join(lines)}</Relationships>',
            )
    return file.getvalue()
