"""All schedules: catching up, re-embedding, checking costs, reporting a month."""

import dagster as dg

from aegis_dagster.defs.automation.fairness import when
from aegis_dagster.defs.automation.nightly_schedule import nightly_catch_up
from aegis_dagster.defs.automation.reembedding_schedule import reembedding
from aegis_dagster.defs.automation.watched_folder_sensor import WHY_TAG
from aegis_dagster.defs.costs.assets import check_costs
from aegis_dagster.defs.costs.monthly_report import end_of_month_before, month_before, report_month
from aegis_dagster.settings.schedules import ScheduleSettings, TimedSettings


def schedules(times: ScheduleSettings) -> list[dg.ScheduleDefinition]:
    """All schedules, according to the current settings."""
    return [
        dg.ScheduleDefinition(
            name="check_costs_hourly",
            job=check_costs,
            description="Checks the money also when no call was made: months begin, reservations expire, limits are "
            "changed.",
            **when(times.check_costs_hourly),
        ),
        nightly_catch_up(times.nightly_catch_up),
        reembedding(times.reembedding),
        _monthly_cost_report(times.monthly_cost_report),
    ]


def _monthly_cost_report(times: TimedSettings) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="monthly_cost_report",
        job=report_month,
        description="Writes the report of the month before into the home's `reports`. Skips while that month, a UTC "
        "month, is not over.",
        **when(times),
    )
    def monthly_report(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        month, ends = month_before(now), end_of_month_before(now)
        if now < ends:  # east of Greenwich a month begins earlier than in UTC
            return dg.SkipReason(
                f"{month} is not over: it is a UTC month and ends at {ends:%Y-%m-%d %H:%M} {times.time_zone}. Remedy: "
                f"set `schedules.monthly_cost_report.cron` to an hour after {ends:%H:%M}; for {month} launch "
                f"`report_month` with `month: {month}` then."
            )
        return dg.RunRequest(
            run_key=f"costs-{month}",
            run_config={"ops": {"monthly_cost_report": {"config": {"month": month}}}},
            tags={WHY_TAG: f"costs of {month}"},
        )

    return monthly_report
