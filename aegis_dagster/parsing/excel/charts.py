"""Charts of a workbook: title, axes, series and categories, as the chart keeps them or as its cells hold them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from aegis_dagster.parsing.excel.numbers import GENERAL, number_text
from aegis_dagster.parsing.excel.references import whole_number
from aegis_dagster.parsing.office.drawing_text import body_text
from aegis_dagster.parsing.office.office_package import local_name

_MOST_POINTS: Final = 20_000  # of one series
_PLOTS: Final = {"bar": "bar_chart", "line": "line_chart", "pie": "pie_chart", "doughnut": "pie_chart"}

Resolve = Callable[[str], list[str]]  # a reference such as `Sheet1!$B$2:$B$7` to the texts of its cells


@dataclass(slots=True)
class Chart:
    """A chart's texts and numbers."""

    title: str = ""
    kinds: list[str] = field(default_factory=list)  # docling's names of kinds of charts
    corner: str = ""  # what the categories are
    categories: list[str] = field(default_factory=list)
    series: list[tuple[str, list[str]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)  # titles of the other axes, labels


def read_chart(root: etree._Element, resolve: Resolve) -> Chart:
    """The chart of a chart part."""
    if root.find("{*}chart/{*}plotArea/{*}plotAreaRegion") is not None:
        return _newer_chart(root)
    chart = Chart(title=_title(root.find("{*}chart/{*}title"), resolve))
    date1904 = root.find("{*}date1904")
    values = _Values(resolve, date1904 is not None and date1904.get("val") in ("1", "true"))
    area = root.find("{*}chart/{*}plotArea")
    for plot in area if area is not None else ():
        name = local_name(plot)
        if name.endswith("Chart"):
            kind = name.removesuffix("Chart").removesuffix("3D")
            chart.kinds.append({**_PLOTS, "scatter": "scatter_chart"}.get(kind, "other_chart"))
            for series in plot.iterfind("{*}ser"):
                _add_series(chart, series, values)
        elif name.endswith("Ax"):
            title = _title(plot.find("{*}title"), resolve)
            if title and not chart.corner and (name in ("catAx", "dateAx") or "scatter_chart" in chart.kinds):
                chart.corner = title
            elif title:
                chart.others.append(title)
    return chart


def _add_series(chart: Chart, series: etree._Element, values: "_Values") -> None:
    name = series.find("{*}tx")
    numbers = series.find("{*}val")
    numbers = series.find("{*}yVal") if numbers is None else numbers
    categories = series.find("{*}cat")
    categories = series.find("{*}xVal") if categories is None else categories
    chart.series.append((" ".join(values.of(name)), values.of(numbers)))
    chart.categories = chart.categories or values.of(categories)
    chart.others += [text for label in series.iterfind("{*}dLbls/{*}dLbl/{*}tx") if (text := body_text(label))]
    for cache in series.iter("{*}dlblRangeCache"):  # labels that are taken from cells
        chart.others += [text for point in cache.iter("{*}v") if (text := (point.text or "").strip())]
    chart.others += [name for line in series.iterfind("{*}trendline/{*}name") if (name := (line.text or "").strip())]


def _title(element: etree._Element | None, resolve: Resolve) -> str:
    if element is None:
        return ""
    rich = body_text(element)
    return " ".join((rich or " ".join(_Values(resolve, False).of(element.find("{*}tx")))).split())


@dataclass(frozen=True, slots=True)
class _Values:
    resolve: Resolve
    date1904: bool

    def of(self, source: etree._Element | None) -> list[str]:
        """The texts of a source of data, in order, "" for gaps."""
        if source is None:
            return []
        for element in source:
            name = local_name(element)
            if name == "v":
                return [element.text or ""]
            if name.endswith("Lit"):
                return self._cached(element)
            if name.endswith("Ref"):
                formula = element.find("{*}f")
                cached = next((child for child in element if local_name(child).endswith("Cache")), None)
                texts = self._cached(cached) if cached is not None else []
                return texts or self.resolve(formula.text or "" if formula is not None else "")
        return []

    def _cached(self, cache: etree._Element) -> list[str]:
        levels = [self._points(level, cache) for level in cache.iterfind("{*}lvl")]
        if not levels:
            return self._points(cache, cache)
        filled = [levels[0], *(_carried(level, len(levels[0])) for level in levels[1:])]
        return [" ".join(part for part in parts if part) for parts in zip(*reversed(filled), strict=True)]

    def _points(self, holder: etree._Element, cache: etree._Element) -> list[str]:
        code = cache.find("{*}formatCode")
        usual = (code.text or GENERAL) if code is not None else ""
        texts: list[str] = []
        for point in holder.iterfind("{*}pt"):
            place, value = whole_number(point.get("idx", ""), len(texts)), point.find("{*}v")
            if value is None or place >= _MOST_POINTS:
                continue
            texts += [""] * (place + 1 - len(texts))
            raw = (value.text or "").strip()
            own = point.get("formatCode", usual)
            texts[place] = number_text(raw, own, date1904=self.date1904) if own else raw
        return texts


def _carried(level: list[str], length: int) -> list[str]:
    """An outer level of categories: each name holds until the next."""
    out: list[str] = []
    for text in [*level, *[""] * (length - len(level))][:length]:
        out.append(text or (out[-1] if out else ""))
    return out


def _newer_chart(root: etree._Element) -> Chart:
    """A chart of the newer kinds (waterfall, treemap, funnel): texts of its title and of its data."""
    chart = Chart(title=" ".join(_texts(root.find("{*}chart/{*}title"))), kinds=["other_chart"])
    for data in root.iterfind("{*}chartData/{*}data"):
        for dimension in data:
            points = [(point.text or "").strip() for point in dimension.iter("{*}pt")][:_MOST_POINTS]
            if local_name(dimension) == "strDim" and not chart.categories:
                chart.categories = points
            else:
                chart.series.append(("", points))
    names = [" ".join(_texts(series.find("{*}tx"))) for series in root.iter("{*}series")]
    for place, name in enumerate(names[: len(chart.series)]):
        chart.series[place] = (name, chart.series[place][1])
    chart.others = [" ".join(_texts(axis.find("{*}title"))) for axis in root.iter("{*}axis")]
    return chart


def _texts(element: etree._Element | None) -> Iterator[str]:
    if element is not None:
        text = body_text(element)
        yield text or " ".join((value.text or "").strip() for value in element.iter("{*}v"))
