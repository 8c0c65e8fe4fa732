"""References to the cells of a sheet, such as `B7` or `A1:C9`."""

from functools import lru_cache
from typing import Final

LAST_COLUMN: Final = 16_384
LAST_ROW: Final = 1_048_576

Range = tuple[int, int, int, int]  # first row, first column, last row, last column; 1-based


def column_name(column: int) -> str:
    """A column's letters: 1 is A."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


@lru_cache(maxsize=LAST_COLUMN)
def column_number(letters: str) -> int:
    """The column of these letters, 0 for none."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def cell_of(reference: str) -> tuple[int, int]:
    """Row and column of a reference such as `$B$7`; 0 for what it does not say."""
    reference = reference.replace("$", "")
    letters = reference.rstrip("0123456789")
    column = column_number(letters) if letters.isalpha() and letters.isascii() and len(letters) <= 3 else 0
    return whole_number(reference[len(letters) :]), column


def whole_number(text: str, default: int = 0) -> int:
    """The number that an attribute writes; `default` for anything else."""
    return int(text) if text.isdecimal() and len(text) < 10 else default


def range_of(reference: str) -> Range:
    """The cells of a reference such as `A1:C9`, `B:B` or `B2`, within the limits of a sheet."""
    first, _, last = reference.partition(":")
    (row, column), (last_row, last_column) = cell_of(first), cell_of(last or first)
    return row or 1, column or 1, last_row or LAST_ROW, last_column or LAST_COLUMN
