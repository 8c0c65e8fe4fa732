"""Adapters that turn files into DoclingDocuments. The work is in `tasks.py`, which a worker loads."""
