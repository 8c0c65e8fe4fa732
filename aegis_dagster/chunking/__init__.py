"""Cutting documents into passages. Light to import: the work is in `tasks.py`, which a worker loads."""

CHUNKER_VERSION = "1"  # a change of what is cut needs the next number: every document is chunked anew
