"""Dagster's webserver behind a front door, and the `dagster dev` that starts it."""
