"""Adapters of the stores: the SQL database, artifacts, vectors. A store of several files has a folder."""
