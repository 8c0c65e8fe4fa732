"""Writes small .msg files: a compound file (MS-CFB) with the properties of a mail (MS-OXMSG)."""

import struct
from collections.abc import Mapping
from typing import TypeAlias

Tree: TypeAlias = "Mapping[str, bytes | Tree]"

_SECTOR, _MINI, _CUTOFF = 512, 64, 4096
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def message(
    texts: Mapping[int, str],
    *,
    binaries: Mapping[int, bytes] = {},
    numbers: Mapping[int, int] = {},
    recipients: tuple[tuple[str, str, int], ...] = (),
    attachments: tuple[Tree, ...] = (),
    header: int = 32,
) -> Tree:
    """A mail: texts and bytes by property id, recipients as (name, address, kind), attachments of `attachment`."""
    tree: dict[str, bytes | Tree] = dict(_properties(texts, binaries, numbers, header))
    for number, (name, address, kind) in enumerate(recipients):
        tree[f"__recip_version1.0_#{number:08X}"] = _properties({0x3001: name, 0x39FE: address}, {}, {0x0C15: kind}, 8)
    for number, each in enumerate(attachments):
        tree[f"__attach_version1.0_#{number:08X}"] = each
    return tree


def attachment(name: str, data: bytes, *, kind: str = "", content_id: str = "") -> Tree:
    """An attached file."""
    texts = {0x3707: name, 0x370E: kind, 0x3712: content_id}
    return _properties({key: text for key, text in texts.items() if text}, {0x3701: data}, {0x3705: 1}, 8)


def attached_mail(mail: Tree) -> Tree:
    """An attached mail, made with `header=24`."""
    return {**_properties({0x3001: "a mail"}, {}, {0x3705: 5}, 8), "__substg1.0_3701000D": mail}


def msg(mail: Tree) -> bytes:
    """The file of a mail."""
    return compound(mail)


def _properties(
    texts: Mapping[int, str], binaries: Mapping[int, bytes], numbers: Mapping[int, int], header: int
) -> Tree:
    entries = [
        *(struct.pack("<HHIII", 0x001F, key, 6, len(text) * 2, 0) for key, text in texts.items()),
        *(struct.pack("<HHIII", 0x0102, key, 6, len(data), 0) for key, data in binaries.items()),
        *(struct.pack("<HHIQ", 0x0014 if n > 2**32 else 0x0003, key, 6, n) for key, n in numbers.items()),
    ]
    return {
        "__properties_version1.0": bytes(header) + b"".join(entries),
        **{f"__substg1.0_{key:04X}001F": text.encode("utf-16-le") for key, text in texts.items()},
        **{f"__substg1.0_{key:04X}0102": data for key, data in binaries.items()},
    }


def compound(tree: Tree) -> bytes:
    """A compound file of 512-byte sectors with these storages and streams."""
    names: list[tuple[str, int, bytes]] = [("Root Entry", 5, b"")]
    links: list[list[int]] = [[_FREE, _FREE]]  # right neighbour, first child

    def place(children: Tree, parent: int) -> None:
        previous: int | None = None
        for name, value in children.items():
            number = len(names)
            names.append((name, 2, value) if isinstance(value, bytes) else (name, 1, b""))
            links.append([_FREE, _FREE])
            if previous is None:
                links[parent][1] = number
            else:
                links[previous][0] = number
            previous = number
            if not isinstance(value, bytes):
                place(value, number)

    place(tree, 0)
    sectors: list[bytes] = []
    fat: list[int] = []

    def store(data: bytes) -> int:
        """Returns the first sector of the data."""
        start = len(sectors)
        pieces = [data[at : at + _SECTOR].ljust(_SECTOR, b"\0") for at in range(0, len(data), _SECTOR)]
        sectors.extend(pieces)
        fat.extend([*range(start + 1, start + len(pieces)), _END])
        return start if pieces else _END

    mini, mini_fat = bytearray(), list[int]()
    starts: list[int] = []
    for _, kind, data in names:
        if kind != 2 or not data:
            starts.append(_END)
        elif len(data) >= _CUTOFF:
            starts.append(store(data))
        else:
            starts.append(len(mini_fat))
            count = -(-len(data) // _MINI)
            mini_fat.extend([*range(len(mini_fat) + 1, len(mini_fat) + count), _END])
            mini += data.ljust(count * _MINI, b"\0")
    if mini:
        starts[0] = store(bytes(mini))
    mini_start = store(struct.pack(f"<{len(mini_fat)}I", *mini_fat)) if mini_fat else _END
    directory = b"".join(
        struct.pack("<64sHBBIII36xIQ", *_entry(name, kind, links[n], starts[n], len(mini) if n == 0 else len(data)))
        for n, (name, kind, data) in enumerate(names)
    )
    directory_start = store(directory)
    count = 1
    while count * 128 < len(sectors) + count:
        count += 1
    first = len(sectors)
    fat += [_FAT] * count
    table = struct.pack(f"<{count * 128}I", *fat, *[_FREE] * (count * 128 - len(fat)))
    mini_sectors = -(-len(mini_fat) * 4 // _SECTOR)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<IIIIIIIII", 0, count, directory_start, 0, _CUTOFF, mini_start, mini_sectors, _END, 0)
    head += struct.pack("<109I", *range(first, first + count), *[_FREE] * (109 - count))
    return head + b"".join(sectors) + table


def _entry(
    name: str, kind: int, links: list[int], start: int, size: int
) -> tuple[bytes, int, int, int, int, int, int, int, int]:
    wide = name.encode("utf-16-le")
    return wide, len(wide) + 2, kind, 1, _FREE, links[0], links[1], start, size
