"""Draws the neighbourhood of the biggest entities, with Pillow: matplotlib takes half a second of each first run."""

import io
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

_WIDTH, _HEIGHT = 720, 448  # pixels
_MARGINS = (64, 30)  # half of a label
_FINER = 2  # so many times larger it is drawn, for smooth edges
_FONT = Path("mpl-data", "fonts", "ttf", "DejaVuSans.ttf")  # of matplotlib's: it knows many alphabets
_FONT_PIXELS = 9
# Of the most frequent types; the others are grey.
_TYPE_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf")
_GREY, _EDGE, _INK = "#888888", "#b8bec8", "#202020"
_ROUNDS = 150
_LABEL_CHARACTERS = 22
_COLOURS = 64  # of the palette, which quarters the file size

Places = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class DrawnEntity:
    """An entity as it is drawn."""

    key: str
    name: str
    type: str
    chunks: int  # that mention it; they set the drawn size


def draw_graph(entities: Sequence[DrawnEntity], edges: Sequence[tuple[str, str, int]]) -> bytes:
    """A PNG of at most some 30 KB. edges: (key, key, weight in thousandths), each pair once; equal input, equal bytes.

    Both ends of every edge must be among the entities; otherwise it raises KeyError.
    """
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (_WIDTH * _FINER, _HEIGHT * _FINER), "white")
    draw = ImageDraw.Draw(picture, "RGBA")
    font = ImageFont.truetype(_font_file(), _FONT_PIXELS * _FINER)
    places = _in_pixels(placed([entity.key for entity in entities], edges))
    heaviest = max((weight for _, _, weight in edges), default=1)
    for one, other, weight in edges:
        draw.line([places[one], places[other]], fill=_EDGE, width=round((1 + 2.4 * weight / heaviest) * _FINER))
    _draw_entities(draw, font, entities, places)
    small = io.BytesIO()
    drawn = picture.reduce(_FINER).quantize(_COLOURS, dither=Image.Dither.NONE)
    drawn.save(small, "PNG", optimize=True)
    return small.getvalue()


def _draw_entities(draw: "ImageDraw", font: "FreeTypeFont", entities: Sequence[DrawnEntity], places: Places) -> None:
    counts = Counter(entity.type for entity in entities)
    frequent = sorted(counts, key=lambda name: (-counts[name], name))[: len(_TYPE_COLOURS)]
    colours = dict(zip(frequent, _TYPE_COLOURS, strict=False))
    biggest = max((entity.chunks for entity in entities), default=1)
    for entity in entities:
        radius = (4 + 9 * math.sqrt(entity.chunks / max(1, biggest))) * _FINER
        draw.circle(places[entity.key], radius, colours.get(entity.type, _GREY), "white", _FINER)
    for entity in entities:
        x, y = places[entity.key]
        place, label = (x, y + 14 * _FINER), _label(entity.name)
        draw.rectangle(draw.textbbox(place, label, font, anchor="mm"), (255, 255, 255, 153))
        draw.text(place, label, _INK, font, anchor="mm")
    legend = [(_label(name) or "others", colour) for name, colour in colours.items()]
    legend += [("others", _GREY)] if len(counts) > len(colours) else []
    for number, (label, colour) in enumerate(legend):
        y = (12 + 14 * number) * _FINER
        draw.circle((10 * _FINER, y), 4 * _FINER, colour)
        draw.text((20 * _FINER, y), label, _INK, font, anchor="lm")


def _font_file() -> Path:
    """Found without the import of matplotlib."""
    package = find_spec("matplotlib")
    assert package is not None and package.origin is not None
    return Path(package.origin).parent / _FONT


def _in_pixels(places: Places) -> Places:
    """The places so that they fill the picture, but for its margins."""
    fitted = []
    for axis, size, margin in zip((0, 1), (_WIDTH, _HEIGHT), _MARGINS, strict=True):
        values = [place[axis] for place in places.values()]
        first, room = min(values), max(values) - min(values)
        share = (size - 2 * margin) / room if room else 0
        start = margin if room else size / 2
        fitted.append([(start + (value - first) * share) * _FINER for value in values])
    return dict(zip(places, zip(*fitted, strict=True), strict=True))


def _label(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LABEL_CHARACTERS else name[: _LABEL_CHARACTERS - 1] + "…"


def placed(keys: Sequence[str], edges: Sequence[tuple[str, str, int]]) -> Places:
    """The position of each entity: edges act as springs, all entities repel; starts from a circle, deterministic."""
    count = max(1, len(keys))
    turn = 2 * math.pi / count
    at = {key: (math.cos(turn * number), math.sin(turn * number)) for number, key in enumerate(keys)}
    ideal = 1.6 / math.sqrt(count)
    for step in range(_ROUNDS):
        moved = {key: [-0.4 * x, -0.4 * y] for key, (x, y) in at.items()}  # all stay near the middle
        for number, one in enumerate(keys):
            for other in keys[number + 1 :]:
                _push(moved, at, one, other, lambda distance: -(ideal**3) / distance**2)
        for one, other, _ in edges:
            _push(moved, at, one, other, lambda distance: distance / 3)
        longest = 0.2 * (1 - step / _ROUNDS) + 0.005
        at = {key: _limited(at[key], moved[key], longest) for key in keys}
    return at


def _push(
    moved: dict[str, list[float]],
    at: Places,
    one: str,
    other: str,
    pull: Callable[[float], float],
) -> None:
    x, y = at[other][0] - at[one][0], at[other][1] - at[one][1]
    distance = max(math.hypot(x, y), 0.02)
    strength = pull(distance) / distance
    moved[one][0] += x * strength
    moved[one][1] += y * strength
    moved[other][0] -= x * strength
    moved[other][1] -= y * strength


def _limited(place: tuple[float, float], by: Sequence[float], longest: float) -> tuple[float, float]:
    length = math.hypot(*by)
    share = min(1.0, longest / length) if length else 0.0
    return place[0] + by[0] * share, place[1] + by[1] * share
