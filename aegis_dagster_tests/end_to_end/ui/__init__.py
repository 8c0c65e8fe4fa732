"""Dagster's UI in a browser, over a running `aegis dev`."""
