"""The ledger, on a SQLite file and on a real Postgres."""
