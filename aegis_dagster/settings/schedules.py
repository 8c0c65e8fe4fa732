"""The section `schedules` of the settings: what starts by itself, when, and whether.

Dagster's switch in the UI takes precedence over `enabled`, which is only the initial state.
"""

import re
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from aegis_dagster.settings.section import Section

_LAST_DAY = re.compile(r"\dL|LW", re.IGNORECASE)  # cronsim knows them, Dagster does not


def _valid_cron(expression: str) -> str:
    """What Dagster takes as a time: five fields, on days that there are, also where a day of the week is named."""
    fields = expression.split()
    if len(fields) != 5:
        problem = f"it has {len(fields)} fields, a schedule has five: minute, hour, day of month, month, day of week"
        raise ValueError(f"`{expression}` is no cron expression: {problem}")
    try:
        for tried in (expression, " ".join([*fields[:4], "*"])):
            CronSim(tried, datetime(2000, 1, 1, tzinfo=UTC))
        if found := _LAST_DAY.search(expression):
            raise CronSimError(f"Dagster knows no `{found[0]}`")
    except CronSimError as error:
        raise ValueError(f"`{expression}` is no cron expression: {error}") from error
    return expression


def _valid_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        near = [zone for zone in sorted(available_timezones()) if name.lower() in zone.lower()][:3]
        raise ValueError(f"`{name}` is no time zone{'; perhaps ' + ' or '.join(near) if near else ''}") from error
    return name


Cron = Annotated[
    str,
    AfterValidator(_valid_cron),
    Field(description="Five fields: minute, hour, day of month, month, day of week."),
]
Switch = Annotated[bool, Field(description="Whether it is on unless switched in Dagster's UI.")]
Zone = Annotated[str, AfterValidator(_valid_zone)]


class WatchedFolderSettings(Section):
    """The sensor `watched_folder`: new, changed, moved and deleted files."""

    enabled: Switch = False
    seconds: int = Field(
        default=3,
        ge=1,
        description="Shortest interval between two scans. `aegis dev` evaluates sensors every second, Dagster's own daemon every 5 s, so that 5 here often means 10 s. For a bucket choose a few minutes: listing it takes time and may cost money.",
    )
    read_seconds: float = Field(
        default=20.0,
        gt=0,
        le=45,
        description="How long one scan reads new files; the rest waits for the next scan. Dagster aborts a scan after 60 s.",
    )


class TimedSettings(Section):
    """One schedule."""

    cron: Cron
    time_zone: Zone = Field(default="UTC", description="Time zone of the schedule, e.g. `Europe/Berlin`.")
    enabled: Switch = False


class NightlyCatchUpSettings(TimedSettings):
    """The schedule `nightly_catch_up`: documents that are stale, wait, or may succeed on a retry."""

    cron: Cron = "0 2 * * *"


class ReembeddingSettings(TimedSettings):
    """The schedule `reembedding`: documents whose points are not those of the current model and settings."""

    cron: Cron = "0 4 * * 0"


class CheckCostsSettings(TimedSettings):
    """The schedule `check_costs_hourly`: budgets and the ledger."""

    cron: Cron = "5 * * * *"
    enabled: Switch = True


class MonthlyReportSettings(TimedSettings):
    """The schedule `monthly_cost_report`: the costs of the previous month."""

    cron: Cron = "0 6 1 * *"
    enabled: Switch = True


class ScheduleSettings(Section):
    """What starts by itself. The switches in Dagster's UI take precedence over `enabled`."""

    watched_folder: WatchedFolderSettings = WatchedFolderSettings()
    nightly_catch_up: NightlyCatchUpSettings = NightlyCatchUpSettings()
    reembedding: ReembeddingSettings = ReembeddingSettings()
    check_costs_hourly: CheckCostsSettings = CheckCostsSettings()
    monthly_cost_report: MonthlyReportSettings = MonthlyReportSettings()
