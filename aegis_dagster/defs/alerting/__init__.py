"""Paging from Dagster: the sensor that reads checks and ends of runs."""
