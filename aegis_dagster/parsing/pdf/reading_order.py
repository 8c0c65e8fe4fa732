"""The order in which the blocks of a page are read: cut the page into bands and columns. Pure."""

from collections.abc import Sequence

from aegis_dagster.parsing.pdf.layout_rules import Rect

_COLUMN_GAP = 6.0  # points of empty space between two columns
_BAND_GAP = -2.0  # points; blocks of neighbouring bands may overlap by the descenders of their letters
_SAME_COLUMN_GAP = 10.0  # points; a block this close below a column continues it


def reading_order(rects: Sequence[Rect], *, right_to_left: bool = False) -> list[int]:
    """The indices of the rectangles, in reading order. Every index occurs once."""
    return _order(list(range(len(rects))), rects, right_to_left)


def _order(items: list[int], rects: Sequence[Rect], right_to_left: bool) -> list[int]:
    if len(items) < 2:
        return items
    columns, bands = _columns(items, rects), _bands(items, rects)
    column_of = {index: number for number, column in enumerate(columns) for index in column}
    if any(len({column_of[index] for index in band}) > 1 for band in bands):  # blocks beside each other
        ordered = reversed(columns) if right_to_left else columns
        return [index for column in ordered for index in _order(column, rects, right_to_left)]
    regions = _regions(bands, rects)
    if len(regions) > 1:
        return [index for region in regions for index in _order(region, rects, right_to_left)]
    return sorted(items, key=lambda index: (rects[index].top, rects[index].left))


def _columns(items: Sequence[int], rects: Sequence[Rect]) -> list[list[int]]:
    """Split where a vertical strip of the page is empty; left to right."""
    spans = [(rects[index].left, rects[index].right, index) for index in items]
    return _split(spans, _COLUMN_GAP)


def _bands(items: Sequence[int], rects: Sequence[Rect]) -> list[list[int]]:
    """Split where a horizontal strip of the page is empty; top to bottom."""
    spans = [(rects[index].top, rects[index].bottom, index) for index in items]
    return _split(spans, _BAND_GAP)


def _split(spans: list[tuple[float, float, int]], gap: float) -> list[list[int]]:
    groups: list[list[int]] = []
    reached = float("-inf")
    for start, end, index in sorted(spans):
        if start - reached >= gap:
            groups.append([])
        groups[-1].append(index)
        reached = max(reached, end)
    return groups


def _regions(bands: list[list[int]], rects: Sequence[Rect]) -> list[list[int]]:
    """Join consecutive bands that have their columns in common, so that a column is read to its end."""
    regions: list[list[int]] = []
    in_columns = False  # whether the last region has columns
    for number, band in enumerate(bands):
        own_columns = len(_columns(band, rects)) > 1
        if in_columns and len(_columns(regions[-1] + band, rects)) > 1:
            later = any(len(_columns(other, rects)) > 1 for other in bands[number + 1 : number + 3])
            close = min(rects[i].top for i in band) - max(rects[i].bottom for i in regions[-1]) < _SAME_COLUMN_GAP
            if own_columns or later or close:
                regions[-1] = regions[-1] + band
                continue
        regions.append(list(band))
        in_columns = own_columns
    return regions
