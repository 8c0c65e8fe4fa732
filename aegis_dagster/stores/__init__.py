"""Adapters for what is kept: the SQL database, artifacts, vectors. One folder for each store of several files."""
