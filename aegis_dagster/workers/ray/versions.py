"""What results depend on, and whether two machines have the same of it."""

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import aegis_dagster

_PACKAGES = (
    *("docling-slim", "docling-core", "docling-parse", "docling-ibm-models", "lxml", "beautifulsoup4"),
    *("pdfplumber", "pdfminer.six", "pypdfium2", "rapidocr", "onnxruntime", "numpy", "pillow", "opencv-python"),
    *("tokenizers", "tree-sitter", "py3langid", "charset-normalizer", "regex", "python-docx", "python-pptx"),
    *("openpyxl", "olefile", "python-oxmsg", "marko", "pandas"),
)
_NONE = "none"


@cache
def versions() -> dict[str, str]:
    """The versions here, by name."""
    installed = {name: _version(name) for name in _PACKAGES}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "aegis_dagster": _of_the_code(), **installed}


def difference(wanted: Mapping[str, str]) -> str:
    """What differs here, in words; "" if nothing does."""
    here = versions()
    found = [
        f"{name} {here.get(name, _NONE)} instead of {other}"
        for name, other in wanted.items()
        if here.get(name) != other
    ]
    return f"it has {', '.join(found[:4])}" if found else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _NONE


def _of_the_code() -> str:
    """A hash of this package's files: two checkouts of one version may differ."""
    folder = Path(aegis_dagster.__file__).parent
    hasher = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        hasher.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return hasher.hexdigest()[:12]
