"""The section `schedules` of the settings: what starts by itself, when, and whether.

Dagster's switch in the UI takes precedence over `enabled`, which is only the initial state.
"""

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from aegis_dagster.settings.cron import cron_problem


def _valid_cron(expression: str) -> str:
    if problem := cron_problem(expression):
        raise ValueError(f"`{expression}` is no cron expression: {problem}")
    return expression


def _valid_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        near = [zone for zone in sorted(available_timezones()) if name.lower() in zone.lower()][:3]
        raise ValueError(f"`{name}` is no time zone{'; perhaps ' + ' or '.join(near) if near else ''}") from error
    return name


Cron = Annotated[str, AfterValidator(_valid_cron)]
Zone = Annotated[str, AfterValidator(_valid_zone)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WatchedFolderSettings(_Section):
    """The sensor `watched_folder`: new, changed, moved and deleted files."""

    enabled: bool = Field(default=False, description="Whether it is on unless switched in Dagster's UI.")
    seconds: int = Field(
        default=4,
        ge=1,
        description="Shortest interval between two scans. Dagster's daemon evaluates sensors every 5 s, so that 5 here often means 10 s. For a bucket choose a few minutes: listing it takes time and may cost money.",
    )
    read_seconds: float = Field(
        default=20.0,
        gt=0,
        le=45,
        description="How long one scan reads new files; the rest waits for the next scan. Dagster aborts a scan after 60 s.",
    )


class TimedSettings(_Section):
    """One schedule."""

    cron: Cron = Field(description="Five fields: minute, hour, day of month, month, day of week.")
    time_zone: Zone = Field(default="UTC", description="Time zone of the schedule, e.g. `Europe/Berlin`.")
    enabled: bool = Field(default=False, description="Whether it is on unless switched in Dagster's UI.")


class NightlyCatchUpSettings(TimedSettings):
    """The schedule `nightly_catch_up`: documents that are stale, wait, or may succeed on a retry."""

    cron: Cron = Field(default="0 2 * * *", description="Five fields: minute, hour, day of month, month, day of week.")


class ReembeddingSettings(TimedSettings):
    """The schedule `reembedding`: documents whose points are not those of the current model and settings."""

    cron: Cron = Field(default="0 4 * * 0", description="Five fields: minute, hour, day of month, month, day of week.")


class CheckCostsSettings(TimedSettings):
    """The schedule `check_costs_hourly`: budgets and the ledger."""

    cron: Cron = Field(default="5 * * * *", description="Five fields: minute, hour, day of month, month, day of week.")
    enabled: bool = Field(default=True, description="Whether it is on unless switched in Dagster's UI.")


class MonthlyReportSettings(TimedSettings):
    """The schedule `monthly_cost_report`: the costs of the previous month."""

    cron: Cron = Field(default="0 6 1 * *", description="Five fields: minute, hour, day of month, month, day of week.")
    enabled: bool = Field(default=True, description="Whether it is on unless switched in Dagster's UI.")


class ScheduleSettings(_Section):
    """What starts by itself. The switches in Dagster's UI take precedence over `enabled`."""

    watched_folder: WatchedFolderSettings = WatchedFolderSettings()
    nightly_catch_up: NightlyCatchUpSettings = NightlyCatchUpSettings()
    reembedding: ReembeddingSettings = ReembeddingSettings()
    check_costs_hourly: CheckCostsSettings = CheckCostsSettings()
    monthly_cost_report: MonthlyReportSettings = MonthlyReportSettings()
