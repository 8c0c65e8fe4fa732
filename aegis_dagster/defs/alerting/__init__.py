"""Paging from Dagster: the sensor that follows asset checks and the ends of runs."""
