"""The section `qdrant` of the settings."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from aegis_dagster.domain.addresses import holds_secret
from aegis_dagster.settings.section import Section


def _without_key(url: str) -> str:
    """Refuses `user:password@` and `?api_key=`: the address stands in logs and errors."""
    if holds_secret(url):
        raise ValueError("it holds a user, a password or a key: the key belongs in the variable AEGIS_QDRANT_API_KEY")
    return url


class QdrantSettings(Section):
    """The vector store: a folder in the home, or a Qdrant server. A server's key is in `AEGIS_QDRANT_API_KEY`."""

    engine: Literal["edge", "client", "server"] | None = Field(
        default=None,
        description="What keeps the vectors: `edge`, Qdrant's engine in the process; `client`, the local mode of qdrant-client, which is slower and loads every point when it is opened; `server`, the one at `qdrant.url`. Default: `server` if `qdrant.url` is set, otherwise `edge`. After a change the next run fills the new store from the cache; readers use the old one meanwhile, and then its collections are deleted.",
    )
    url: (
        Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#]+(/[^\s?#]*)?$"), AfterValidator(_without_key)]
        | None
    ) = Field(
        default=None,
        description="REST address of a Qdrant server, 1.16 or newer, e.g. `https://qdrant.example.com:6333`; without a port 6333 is meant.",
    )
    ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the server's certificate. Default: the system's.",
    )
    timeout_seconds: float = Field(default=60.0, gt=0, description="How long to wait for one answer of the server.")
    retry_seconds: float = Field(
        default=60.0,
        ge=0,
        description="How long a run repeats a request that the server does not answer or cannot carry out now. Whoever waits for an answer, as `aegis search` does, is told after 2 s.",
    )
    hnsw_m: int = Field(
        default=16,
        ge=2,
        le=256,
        description="Edges of a node in the server's HNSW index. This and the next two also change a collection that is there; the server then builds its index again.",
    )
    hnsw_ef_construct: int = Field(
        default=100, ge=4, le=10_000, description="Neighbours that the server considers when it builds the index."
    )
    quantization: Literal["none", "scalar", "binary"] = Field(
        default="none",
        description="How the server compresses vectors to search among them: `scalar` to a quarter, `binary` to 1/32, which suits vectors of 1,024 numbers and more. The best hits are compared again by the whole vectors.",
    )
    collection: str = Field(
        default="aegis_documents",
        description="Alias that readers use; it points to the collection of the current embedding model. Homes that share a server each need their own.",
    )
    lock_timeout_seconds: float = Field(
        default=120.0, gt=0, description="How long to wait for another process that writes the local store."
    )

    @property
    def kind(self) -> Literal["edge", "client", "server"]:
        """What keeps the vectors."""
        return self.engine or ("server" if self.url else "edge")

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if self.engine == "server" and self.url is None:
            raise ValueError("engine is `server`, but qdrant.url is not set")
        return self
