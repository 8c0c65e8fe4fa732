"""Whatever is wrong with a part of a ZIP file, reading it raises one of the errors that its readers expect."""

import io
import zipfile

import pytest

from aegis_dagster.parsing.unpacking import UNREADABLE_PART

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
TEXT = bytes(range(256)) * 8


def packed(method: int) -> bytearray:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("part", TEXT)
    return bytearray(made.getvalue())


def part_of(data: bytearray, name: str = "part") -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(name)


@pytest.mark.parametrize("method", METHODS)
def test_damaged_bytes(method: int) -> None:
    whole = packed(method)
    assert part_of(whole) == TEXT
    raised = 0
    for at in range(34, whole.index(b"PK\x01\x02"), 7):
        damaged = whole.copy()
        damaged[at] ^= 0xFF
        try:
            assert part_of(damaged) == TEXT  # a byte behind the end of the stream
        except UNREADABLE_PART:
            raised += 1
    assert raised > 10


@pytest.mark.parametrize(("field", "value"), [(10, 97), (8, 1)], ids=["unknown compression", "password"])
def test_what_cannot_be_unpacked(field: int, value: int) -> None:
    data = packed(zipfile.ZIP_STORED)
    for start in (data.index(b"PK\x03\x04") - 2, data.index(b"PK\x01\x02")):  # the entry, and the directory's
        data[start + field] = value
    with pytest.raises(UNREADABLE_PART):
        part_of(data)


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(UNREADABLE_PART):
        part_of(packed(zipfile.ZIP_STORED), "other")
