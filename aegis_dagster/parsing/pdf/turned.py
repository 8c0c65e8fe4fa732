"""Text that is turned by 90, 180 or 270 degrees, seen upright; and text that is slanted. Pure."""

import math
from dataclasses import dataclass, replace

from aegis_dagster.parsing.pdf.layout_rules import Line, Rect

# Scans lean by a few degrees; a text that leans by more is slanted.
_MAX_LEAN = 15.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Quarter turns, counter-clockwise, of text on a page of this width and height in points."""

    quarters: int  # 0 to 3
    width: float
    height: float

    def upright(self, rect: Rect) -> Rect:
        """A rectangle of the page as one sees it when the text stands upright."""
        match self.quarters:
            case 1:
                return Rect(self.height - rect.bottom, rect.left, self.height - rect.top, rect.right)
            case 2:
                return Rect(
                    self.width - rect.right, self.height - rect.bottom, self.width - rect.left, self.height - rect.top
                )
            case 3:
                return Rect(rect.top, self.width - rect.right, rect.bottom, self.width - rect.left)
        return rect

    def on_page(self, rect: Rect) -> Rect:
        """The rectangle of the page for one that `upright` gave."""
        sides = (self.height, self.width) if self.quarters % 2 else (self.width, self.height)
        return Turn(-self.quarters % 4, *sides).upright(rect)

    def line_on_page(self, line: Line, *, apart: bool) -> Line:
        """The line at its place on the page."""
        if self.quarters == 0:
            return replace(line, apart=apart) if apart else line
        return replace(line, rect=self.on_page(line.rect), letters=line.size, apart=apart)


def quarters_of(start: tuple[float, float], end: tuple[float, float]) -> int | None:
    """How often a text is turned whose baseline runs from one point to another (y runs down); None: it is slanted."""
    across, up = end[0] - start[0], start[1] - end[1]
    if across == 0 and up == 0:
        return 0
    angle = math.degrees(math.atan2(up, across))
    nearest = round(angle / 90)
    return nearest % 4 if abs(angle - 90 * nearest) <= _MAX_LEAN else None
