"""Tables of paging. Times are integers: microseconds since 1970-01-01 UTC."""

import sqlalchemy as sa

from aegis_dagster.stores.database import metadata
from aegis_dagster.stores.evidence.schema import KeyText

# How things stand with every check and job that was ever seen, also those that are well: an old event of one that is
# read again must not be news.
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("key", KeyText, primary_key=True),  # AlertKey.text
    sa.Column("severity", sa.Text),  # NULL: all is well
    sa.Column("since_us", sa.BigInteger, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),  # of the newest event
    sa.Column("told", sa.Text, nullable=False),  # JSON
    sa.Column("paged", sa.Text),  # severity that people were told last; NULL: that all is well, or nothing
    sa.Index("ix_alerts_paged", "paged"),
)

# Who is told. The first row says since when changes are told.
alert_channels = sa.Table(
    "alert_channels",
    metadata,
    sa.Column("name", KeyText, primary_key=True),
    sa.Column("since_us", sa.BigInteger, nullable=False),
    sa.Column("missed_us", sa.BigInteger),  # first look at which it was not configured any more; NULL: it is
)

alert_messages = sa.Table(
    "alert_messages",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("channel", KeyText, nullable=False),
    sa.Column("key", KeyText, nullable=False),  # AlertKey.text
    sa.Column("firing", sa.Boolean, nullable=False),  # False: the all-clear
    sa.Column("page", sa.Text, nullable=False),  # JSON
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("delivered_us", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before_us", sa.BigInteger, nullable=False, server_default="0"),  # claimed, or to be tried again
    sa.Column("error", sa.Text),  # of the last attempt
    sa.Index("ix_alert_messages_channel_delivered_us_key_id", "channel", "delivered_us", "key", "id"),
)
