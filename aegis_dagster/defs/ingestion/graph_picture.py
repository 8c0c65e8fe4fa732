"""Draws the neighbourhood of the biggest entities."""

import io
import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TYPES_COLOURED = 9  # for the most frequent types; the others are grey
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
    from matplotlib.figure import Figure  # without pyplot, which has global state; Agg draws the picture to be saved

    figure = Figure(figsize=(9, 5.6), dpi=80, layout="tight")
    axes = figure.subplots()
    axes.set_axis_off()
    places = placed([entity.key for entity in entities], edges)
    heaviest = max((weight for _, _, weight in edges), default=1)
    for one, other, weight in edges:
        (x1, y1), (x2, y2) = places[one], places[other]
        axes.plot([x1, x2], [y1, y2], color="#b8bec8", linewidth=0.6 + 2.4 * weight / heaviest, zorder=1)
    _draw_entities(axes, entities, places)
    axes.margins(0.12)
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box: the table has the name
        figure.savefig(picture, format="png")
    return _with_palette(picture)


def _draw_entities(axes: "Axes", entities: Sequence[DrawnEntity], places: Places) -> None:
    counts: defaultdict[str, int] = defaultdict(int)
    for entity in entities:
        counts[entity.type] += 1
    frequent = sorted(counts, key=lambda name: (-counts[name], name))[:_TYPES_COLOURED]
    biggest = max((entity.chunks for entity in entities), default=1)
    for name in [*frequent, ""]:
        mine = [one for one in entities if (one.type if one.type in frequent else "") == name]
        if not mine:
            continue
        sizes = [60 + 500 * one.chunks / biggest for one in mine]
        colour = f"C{frequent.index(name)}" if name else "#888888"
        xs, ys = [places[one.key][0] for one in mine], [places[one.key][1] for one in mine]
        label = _label(name).lstrip("_") or "others"  # matplotlib leaves out labels that begin with _
        axes.scatter(xs, ys, s=sizes, color=colour, label=label, zorder=2, edgecolors="white")
    for entity in entities:
        axes.annotate(
            _label(entity.name),
            places[entity.key],
            xytext=(0, -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            zorder=3,
            bbox={"boxstyle": "square,pad=0", "color": "white", "alpha": 0.6},
            parse_math=False,  # a name may contain dollar signs
        )
    legend = axes.legend(loc="upper left", frameon=False, fontsize=8, markerscale=0.5)
    for text in legend.get_texts():
        text.set_parse_math(False)  # and so may a type, which a model may have made up


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


def _with_palette(picture: io.BytesIO) -> bytes:
    from PIL import Image

    small = io.BytesIO()
    with Image.open(picture) as drawn:
        drawn.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()
