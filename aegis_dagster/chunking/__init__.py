"""Cutting documents into passages. Light to import: the work is in `tasks.py`, which a worker loads."""

CHUNKER_VERSION = "2"  # raise it with any change of the passages: every document is then chunked again
