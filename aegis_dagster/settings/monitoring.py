"""The sections `metrics`, `alerts` and `neo4j` of the settings."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _without_secret(address: str) -> str:
    """Refuses `user:password@` before the host: addresses stand in logs, errors and pages."""
    if re.match(r"[^:/?#]*://[^/?#]*@", address):
        raise ValueError(
            "it holds a user or a password, and addresses are written into logs: leave out what stands before the @. "
            "Neo4j has neo4j.user and the variable AEGIS_NEO4J_PASSWORD; before the others put a proxy on this "
            "machine that adds the password"
        )
    return address


HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+\S*$"), AfterValidator(_without_secret)]


class MonitoringSection(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class MetricsSettings(MonitoringSection):
    """Where `aegis metrics` serves, and where runs push their gauges."""

    host: str = Field(default="127.0.0.1", description="Address that `aegis metrics` listens at.")
    port: int = Field(default=9464, ge=0, le=65535, description="Its port; 0: any free one.")
    refresh_seconds: float = Field(
        default=15.0,
        gt=0,
        le=300,
        description="What takes long to count (documents, vectors, the graph, Dagster's runs) is counted in the background, this often at most. Figures are as old as that.",
    )
    most_collections: int = Field(
        default=100,
        ge=1,
        description="More collections than this share the label `(others)`: each costs some 30 series.",
    )
    pushgateway: HttpUrl | None = Field(
        default=None, description="Pushgateway that gets each run's gauges, e.g. `http://127.0.0.1:9091`."
    )


class AlertSettings(MonitoringSection):
    """Who is told when a check fails or a run breaks. Channels with a secret: the variable `AEGIS_NOTIFY`."""

    alertmanager: HttpUrl | None = Field(
        default=None, description="Alertmanager that is told, e.g. `http://127.0.0.1:9093`."
    )
    dagster_url: HttpUrl = Field(
        default="http://127.0.0.1:3000", description="Where people open Dagster: pages link to runs there."
    )
    runbook_url: str = Field(
        default="docs/guides/MONITORING.md",
        min_length=1,
        description="Where pages say what to do: the address at which you show that guide.",
    )
    seconds: int = Field(default=30, ge=1, description="How often checks and runs are looked at.")
    stands_seconds: float = Field(
        default=15.0,
        ge=0,
        description="So long a page stands in Alertmanager before its all-clear may follow: longer than `group_wait` of the route that takes it, or a short failure is told to nobody.",
    )


class Neo4jSettings(MonitoringSection):
    """The Neo4j view of the graph, where there is one. Its password: the variable `AEGIS_NEO4J_PASSWORD`."""

    uri: Annotated[str, AfterValidator(_without_secret)] | None = Field(
        default=None, description="E.g. `bolt://127.0.0.1:7687`; none: there is no such view."
    )
    user: str = Field(default="neo4j", description="Who asks.")
    database: str = Field(default="neo4j", description="Which database of the server.")
    workspace: str = Field(default="aegis", description="Label of the graph's nodes.")
