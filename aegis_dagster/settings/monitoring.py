"""The sections `metrics`, `alerts` and `neo4j` of the settings."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from aegis_dagster.domain.addresses import holds_secret
from aegis_dagster.settings.section import Section


def _without_secret(address: str) -> str:
    """Refuses `user:password@` and `?token=`: addresses stand in logs, errors and pages."""
    if holds_secret(address):
        raise ValueError(
            "it holds a user, a password or a token, and addresses are written into logs: leave out what stands before the @ or after the ?. "
            "Neo4j has neo4j.user and the variable AEGIS_NEO4J_PASSWORD; before the others put a proxy on this "
            "machine that adds the password"
        )
    return address


HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+\S*$"), AfterValidator(_without_secret)]


class MetricsSettings(Section):
    """Where `aegis metrics` listens, and where runs push their gauges."""

    host: str = Field(default="127.0.0.1", description="Address that `aegis metrics` listens on.")
    port: int = Field(default=9464, ge=0, le=65535, description="Port of `aegis metrics`; 0: any free one.")
    refresh_seconds: float = Field(
        default=15.0,
        gt=0,
        le=300,
        description="Shortest interval between background readings of what is slow to count (documents, vectors, the graph, Dagster's runs).",
    )
    most_collections: int = Field(
        default=100,
        ge=1,
        description="Number of collections with a label of their own, some 30 series each; all others share the label `(others)`.",
    )
    pushgateway: HttpUrl | None = Field(
        default=None, description="Pushgateway to which runs push their gauges, e.g. `http://127.0.0.1:9091`."
    )


class AlertSettings(Section):
    """Who is paged when a check or a run fails. Addresses with a secret belong in the variable `AEGIS_NOTIFY`."""

    alertmanager: HttpUrl | None = Field(
        default=None, description="Alertmanager that receives pages, e.g. `http://127.0.0.1:9093`."
    )
    dagster_url: HttpUrl = Field(
        default="http://127.0.0.1:3000", description="Address at which people open Dagster; pages link to runs there."
    )
    runbook_url: Annotated[str, AfterValidator(_without_secret)] = Field(
        default="docs/guides/MONITORING.md",
        min_length=1,
        description="Address of the monitoring guide, to which pages link.",
    )
    seconds: int = Field(default=30, ge=1, description="Seconds between two looks at checks and runs.")
    stands_seconds: float = Field(
        default=15.0,
        ge=0,
        description="Shortest time between a page in Alertmanager and its all-clear. Must be longer than `group_wait` of the page's route; otherwise nobody hears of a short failure.",
    )


class Neo4jSettings(Section):
    """The Neo4j view of the graph, if there is one. Its password belongs in the variable `AEGIS_NEO4J_PASSWORD`."""

    uri: Annotated[str, AfterValidator(_without_secret)] | None = Field(
        default=None, description="Address of the server, e.g. `bolt://127.0.0.1:7687`; none: there is no such view."
    )
    user: str = Field(default="neo4j", description="User name on the server.")
    database: str = Field(default="neo4j", description="Database on the server.")
    workspace: str = Field(default="aegis", description="Label of the graph's nodes.")
