"""The pager's tables: alerts, channels and messages."""
