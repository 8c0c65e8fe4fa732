"""Tables of paging. Times are integers: microseconds since 1970-01-01 UTC."""

import sqlalchemy as sa

from aegis_dagster.stores.database import metadata
from aegis_dagster.stores.evidence.schema import KeyText

# The state of every check and job ever seen, also of those that pass: an old event that is read again must not
# count as a change.
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("key", KeyText, primary_key=True),  # AlertKey.text
    sa.Column("severity", sa.Text),  # NULL: all is well
    sa.Column("since_us", sa.BigInteger, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),  # of the newest event
    sa.Column("told", sa.Text, nullable=False),  # JSON of `Told`
    sa.Column("paged", sa.Text),  # severity last sent to people; NULL: the all-clear, or nothing yet
    sa.Index("ix_alerts_paged", "paged"),
)

# The channels to notify. The first row says since when changes are sent.
alert_channels = sa.Table(
    "alert_channels",
    metadata,
    sa.Column("name", KeyText, primary_key=True),
    sa.Column("since_us", sa.BigInteger, nullable=False),
    sa.Column("missed_us", sa.BigInteger),  # when it was first found unconfigured; NULL: configured
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
    sa.Column("not_before_us", sa.BigInteger, nullable=False, server_default="0"),  # end of a claim, or next attempt
    sa.Column("error", sa.Text),  # of the last attempt
    sa.Index("ix_alert_messages_channel_delivered_us_key_id", "channel", "delivered_us", "key", "id"),
)
