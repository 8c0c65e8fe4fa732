"""Finds the mail inside an S/MIME signature that encloses it (CMS, RFC 5652): nothing in it is encrypted."""

from typing import Final, NamedTuple

_SIGNED: Final = bytes.fromhex("2a864886f70d010702")  # the object identifier of signed data
_SEQUENCE, _IDENTIFIER, _OCTETS, _FIRST = 0x30, 0x06, 0x04, 0xA0
_PIECES: Final = 0x24  # octets in several pieces
_DEEPEST: Final = 20


class _Value(NamedTuple):
    tag: int
    start: int  # of the content
    end: int  # of the content
    after: int  # where the next value begins


def signed_content(data: bytes) -> bytes | None:
    """The bytes that were signed; None if these are no signed data, or the content lies elsewhere."""
    try:
        outer = _value(data, 0, 0)
        kind, content = _children(data, outer)[:2]
        if data[kind.start : kind.end] != _SIGNED or content.tag != _FIRST:
            return None
        (signed,) = _children(data, content)
        enclosed = next(each for each in _children(data, signed) if each.tag == _SEQUENCE)
        _, content = _children(data, enclosed)[:2]
        (octets,) = _children(data, content)
        return _octets(data, octets)
    except (IndexError, ValueError, StopIteration):
        return None


def _octets(data: bytes, value: _Value) -> bytes:
    if value.tag == _OCTETS:
        return data[value.start : value.end]
    if value.tag != _PIECES:
        raise ValueError("no octets")
    return b"".join(data[each.start : each.end] for each in _children(data, value) if each.tag == _OCTETS)


def _children(data: bytes, value: _Value) -> list[_Value]:
    found = []
    at = value.start
    while at < value.end:
        found.append(_value(data, at, 0))
        at = found[-1].after
    return found


def _value(data: bytes, at: int, depth: int) -> _Value:
    """The value at a place. Raises IndexError, ValueError for what is none."""
    tag, length = data[at], data[at + 1]
    start = at + 2
    if length == 0x80:  # it ends with two zeros
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        end = start
        while data[end : end + 2] != b"\0\0":
            end = _value(data, end, depth + 1).after
        return _Value(tag, start, end, end + 2)
    if length > 0x80:
        start += length - 0x80
        length = int.from_bytes(data[at + 2 : start])
    if start + length > len(data):
        raise ValueError("it ends too early")
    return _Value(tag, start, start + length, start + length)
