"""A panel of a dashboard, and its conversion to a panel of Grafana."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8  # of the grid, whose width is 24

Built = TypeVar("Built", bargauge.Panel, stat.Panel, timeseries.Panel)


class Shape(StrEnum):
    """The kinds of panel."""

    LINES = "lines"  # over time
    STACKED = "stacked"  # over time, as areas that add up
    STAT = "stat"  # the newest values as numbers
    BARS = "bars"  # the newest values as bars


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the names of its series."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. A test compares the title with the guide."""

    title: str
    description: str
    queries: Sequence[Query]
    unit: str  # of Grafana
    shape: Shape = Shape.LINES
    width: int = 8  # of 24
    thresholds: Mapping[float, str] = field(default_factory=dict)  # from this value on, this colour
    base: str = "green"  # colour below the first threshold; used where there are thresholds
    maximum: float | None = None
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # value: (word, colour)


SOURCES = Panel(
    "Sources of figures",
    "Which sources the exporter can read. One that is down has no figures: its panels are empty, its alerts blind.",
    [Query("min by (source) (aegis_source_up)", "{{source}}")],
    "none",
    Shape.STAT,
    values={"0": ("down", "red"), "1": ("up", "green")},
)


def built(panel: Panel, number: int) -> stat.Panel | bargauge.Panel | timeseries.Panel:
    """The panel for Grafana. number: its id in the dashboard."""
    if panel.shape is Shape.STAT:
        return _filled(_stat(), panel, number)
    if panel.shape is Shape.BARS:
        return _filled(_bars(), panel, number)
    lines = _filled(_lines(stacked=panel.shape is Shape.STACKED), panel, number)
    if panel.thresholds:
        lines.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphTresholdsStyleMode.DASHED))
    return lines


def _filled(made: Built, panel: Panel, number: int) -> Built:
    """The fields that all shapes share."""
    made.id(number).title(panel.title).description(panel.description).datasource(DATASOURCE)
    made.height(HEIGHT).span(panel.width).unit(panel.unit).min(0)
    for index, query in enumerate(panel.queries):
        made.with_target(_target(query, chr(ord("A") + index), over_time=isinstance(made, timeseries.Panel)))
    if panel.maximum is not None:
        made.max(panel.maximum)
    if panel.values:
        made.mappings([_words(panel.values)])
    steps = [models.Threshold(value=None, color=panel.base if panel.thresholds or panel.values else "blue")]
    steps += [models.Threshold(value=value, color=colour) for value, colour in panel.thresholds.items()]
    made.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    return made


def _target(query: Query, name: str, *, over_time: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(name).expr(query.expression).legend_format(query.legend)
    target.datasource(DATASOURCE)
    return target.range() if over_time else target.instant()


def _words(values: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    options = {
        value: models.ValueMappingResult(text=word, color=colour, index=index)
        for index, (value, (word, colour)) in enumerate(values.items())
    }
    return models.ValueMap(options=options)


def _stat() -> stat.Panel:
    return (
        stat.Panel()
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _bars() -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _lines(*, stacked: bool) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .fill_opacity(30 if stacked else 5)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
    )
    if stacked:
        made.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    return made
