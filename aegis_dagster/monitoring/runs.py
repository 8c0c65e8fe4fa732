"""Metrics of Dagster: when assets were last materialized, how runs ended.

Belongs here: the numbers that are wanted of a Dagster instance, as metrics.
Does not belong here: asking Dagster (`defs/run_metrics.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aegis_dagster.monitoring.families import Samples


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """What Dagster's storage says."""

    last_success: Mapping[str, float]  # asset to seconds since 1970-01-01 UTC; only assets that have one
    runs: Mapping[tuple[str, str], int]  # by job and how they ended; 0 for each job and end without one


def run_samples(numbers: RunNumbers) -> Samples:
    """The numbers as samples."""
    samples = Samples()
    for asset, seconds in numbers.last_success.items():
        samples.add("aegis_asset_last_success_timestamp_seconds", asset, value=seconds)
    for (job, status), count in numbers.runs.items():
        samples.add("aegis_runs", job, status, value=count)
    return samples
