"""Migrations of the SQL database, run by `stores.database.open_database`."""
