"""Every setting of the project, with its default and what it means.

Belongs here: reading the environment and `aegis.yaml`, nothing else does; derived paths.
Does not belong here: building adapters from settings (`composition.py`), creating folders.

Order, first wins: environment (`AEGIS_PARSE__WORKERS=4`: two underscores go one level down), then
`aegis.yaml` (in the working directory, or the file that `AEGIS_CONFIG` names), then the defaults here.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from aegis_dagster.domain.llm import Quality
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings_llm import LlmSettings, ProviderSettings
from aegis_dagster.settings_monitoring import AlertSettings, MetricsSettings, Neo4jSettings
from aegis_dagster.settings_schedules import ScheduleSettings

RootUrl = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]+://")]


class Section(BaseModel):
    """A group of settings; unknown names are refused, so that a typing error is not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListingSettings(Section):
    """How the watched root is scanned."""

    settle_seconds: float = Field(
        default=1.0,
        ge=0,
        description="A file younger than this is looked at twice, this far apart; one that changed meanwhile is still being written and waits.",
    )
    ignore: tuple[str, ...] = Field(
        default=("*.part", "*.tmp", "*~", "*.swp", "*.crdownload", "~$*", "Thumbs.db", "desktop.ini"),
        description="Names (fnmatch patterns) that are never documents. Names that begin with a dot never are.",
    )
    max_deleted_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Deletions beyond this share of the known documents and beyond `max_deleted_count` are held until confirmed.",
    )
    max_deleted_count: int = Field(default=10, ge=0, description="See `max_deleted_share`.")


class ParseSettings(Section):
    """How documents are parsed."""

    workers: int = Field(default=2, ge=1, description="Worker processes.")
    timeout_seconds: float = Field(
        default=300.0, gt=0, description="One document's limit; its worker is killed after it."
    )
    memory_mb: int = Field(default=2000, ge=256, description="One worker's limit (resident); it is killed above it.")
    documents_per_worker: int = Field(
        default=50,
        ge=1,
        description="A worker is replaced after so many documents: docling grows by about 5 MB a conversion.",
    )
    max_pages: int = Field(default=1000, ge=1, description="A document with more pages is refused before work.")
    max_megabytes: int = Field(default=200, ge=1, description="A larger file is refused before work.")
    pdf_route: Literal["auto", "models", "rules"] = Field(
        default="auto",
        description="`models`: docling's own layout and table models; `rules`: layout by rules, no weights; `auto`: models where their weights are in `docling_models`, else rules.",
    )
    docling_models: Path | None = Field(
        default=None,
        description="Folder of docling's weights. Default: `<home>/models/docling`; fill it with `docling-tools models download -o FOLDER`.",
    )
    ocr: bool = Field(default=True, description="Read scans by OCR.")


class EnrichSettings(Section):
    """Which pictures are described, and by what."""

    describer: Literal["auto", "model", "ocr"] = Field(
        default="auto",
        description="`model`: a vision model of `llm`; `ocr`: the text in the picture; `auto`: a model where one is configured, else OCR.",
    )
    quality: Quality = Field(default=Quality.STANDARD, description="Which vision models are wanted.")
    max_side_pixels: int = Field(default=1024, ge=64, description="A larger picture is made smaller before it is sent.")
    max_answer_tokens: int = Field(default=500, ge=16, description="Limit of a description.")
    enabled: bool = Field(default=True, description="Describe pictures at all; a collection can differ.")
    min_side_pixels: int = Field(default=48, ge=1, description="A picture with a shorter side is decoration.")
    max_aspect: float = Field(
        default=12.0, ge=1, description="A picture longer than this many times its width is a rule or a banner."
    )
    min_colors: int = Field(default=3, ge=1, description="A picture with fewer colours is a box or a line.")


class ChunkSettings(Section):
    """How documents are cut into passages."""

    max_tokens: int = Field(
        default=240,
        ge=32,
        description="Tokens of a chunk with its headings, by the embedding model's tokenizer. MiniLM cuts off what is beyond 256.",
    )
    merge_peers: bool = Field(default=True, description="Merge short neighbours under the same headings.")
    timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        description="One document's limit; after it the plain chunker takes over, which is recorded.",
    )
    min_coverage: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="Share of a document's text that must be found in its chunks; below it the document is marked.",
    )


class EmbedSettings(Section):
    """How chunks are embedded."""

    model: str = Field(
        default="all-MiniLM-L6-v2",
        description="The embedding model: `all-MiniLM-L6-v2`, which runs here, or `provider/model` of `llm`, e.g. `local/nomic-embed-text`.",
    )
    batch_size: int = Field(default=32, ge=1, description="Texts per call of the model.")
    window_chunks: int = Field(default=4096, ge=1, description="Chunks sorted by length and held in memory together.")
    threads: int = Field(default=0, ge=0, description="Threads of the model; 0: all cores.")


class GraphSettings(Section):
    """How entities and relations are found, and what is kept."""

    extractor: Literal["auto", "model", "statistical"] = Field(
        default="auto",
        description="`model`: a language model of `llm`; `statistical`: key phrases and co-occurrence; `auto`: a model where one is configured, else statistical.",
    )
    quality: Quality = Field(default=Quality.STANDARD, description="Which language models are wanted.")
    max_answer_tokens: int = Field(default=4096, ge=64, description="Limit of what a model says of one chunk.")
    enabled: bool = Field(default=True, description="Extract entities and relations at all; a collection can differ.")
    max_entities_per_chunk: int = Field(default=10, ge=1, description="Most entities of one chunk (statistical).")
    max_relations_per_chunk: int = Field(default=15, ge=0, description="Most relations of one chunk (statistical).")


class QdrantSettings(Section):
    """The vector store. Local mode by default."""

    collection: str = Field(
        default="aegis_documents",
        description="Alias that readers use; behind it stands one collection per embedding model.",
    )
    lock_timeout_seconds: float = Field(
        default=120.0, gt=0, description="How long to wait for another process that writes the local store."
    )


class CollectionPolicy(Section):
    """What differs for one collection."""

    local_only: bool = Field(default=False, description="Never send content of this collection to a provider.")
    enrich: bool = Field(default=True, description="Describe its pictures.")
    graph: bool = Field(default=True, description="Extract entities and relations from it.")


class Settings(BaseSettings):
    """All settings. Build it with `load_settings()`."""

    model_config = SettingsConfigDict(
        env_prefix="AEGIS_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    home: Path = Field(
        default=Path(".aegis"), description="All state: catalog, artifacts, vectors, the Dagster instance."
    )
    root: RootUrl | Path | None = Field(
        default=None,
        union_mode="left_to_right",
        description="The watched root: a folder, or an fsspec URL such as `s3://bucket/prefix`. Without it the first folder given to `aegis ingest` is remembered.",
    )
    root_options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description='What fsspec is given for a root that is a URL, e.g. `{"endpoint_url": "http://127.0.0.1:9000"}`. Keys belong in the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, or fsspec\'s own configuration), not here.',
    )
    model_cache: Path | None = Field(
        default=None,
        description="Where the exported embedding model is kept. Default: the user's cache folder, shared by all homes.",
    )
    lease_seconds: float = Field(
        default=600.0, gt=0, description="A claim of a document by a process that stopped answering expires after this."
    )
    memory_needed_mb: int = Field(
        default=1024, ge=0, description="`IngestionPipeline` refuses to start with less free memory."
    )
    database: str | None = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL of another database, e.g. `postgresql+psycopg2://user:password@host/name`. Default: `<home>/aegis.db`.",
    )
    listing: ListingSettings = ListingSettings()
    parse: ParseSettings = ParseSettings()
    enrich: EnrichSettings = EnrichSettings()
    chunk: ChunkSettings = ChunkSettings()
    embed: EmbedSettings = EmbedSettings()
    graph: GraphSettings = GraphSettings()
    qdrant: QdrantSettings = QdrantSettings()
    llm: LlmSettings = LlmSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    metrics: MetricsSettings = MetricsSettings()
    alerts: AlertSettings = AlertSettings()
    neo4j: Neo4jSettings = Neo4jSettings()
    collections: dict[str, CollectionPolicy] = Field(
        default_factory=dict, description="Policy by collection name; a collection without one has the defaults."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, aegis.yaml: in this order."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=config_file())

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalog, evidence, caches and ledger."""
        return self.database or f"sqlite:///{self.home / 'aegis.db'}"

    @property
    def artifacts_dir(self) -> Path:
        """Folder of the artifact store."""
        return self.home / "artifacts"

    @property
    def qdrant_dir(self) -> Path:
        """Folder of the local vector store."""
        return self.home / "qdrant"

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance that `aegis ingest` records its runs in."""
        configured = os.environ.get("DAGSTER_HOME")
        return Path(configured) if configured else self.home / "dagster"

    @property
    def docling_models_dir(self) -> Path:
        """Folder where docling's weights are looked for."""
        return self.parse.docling_models or self.home / "models" / "docling"

    def policy(self, collection: str) -> CollectionPolicy:
        """The policy of a collection."""
        return self.collections.get(collection, CollectionPolicy())


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Where a provider is and what opens it. Never part of the settings, so that no dump shows a key."""

    base_url: str
    api_key: str = field(repr=False)


def provider_access(provider: ProviderSettings) -> ProviderAccess | None:
    """How to reach a provider that is configured; None: it is switched off, or has no key or no address."""
    address = os.environ.get(provider.base_url_variable or "") or provider.base_url or ""
    key = os.environ.get(provider.api_key_variable or "", "").strip()
    ready = bool(address) and (bool(key) or provider.api_key_variable is None)
    if provider.enabled is False or (provider.enabled is None and not ready) or not address:
        return None
    return ProviderAccess(_full_address(address), key or "none")


def neo4j_password() -> str:
    """The password of the Neo4j view; "": it asks for none. Never part of the settings, as keys are not."""
    return os.environ.get("AEGIS_NEO4J_PASSWORD", "")


def _full_address(address: str) -> str:
    """`OLLAMA_HOST` may be a host, a host and port, or 0.0.0.0; an address with a path stays as it is."""
    if "://" not in address:
        host, port = (address, "") if address.endswith("]") else address.rpartition(":")[::2]
        if ":" not in address:
            host, port = address, ""
        address = f"http://{'127.0.0.1' if host in ('', '0.0.0.0') else host}:{port or '11434'}"
    return address.rstrip("/") if address.rstrip("/").count("/") > 2 else f"{address.rstrip('/')}/v1"


def notify_addresses() -> tuple[str, ...]:
    """Who is paged through Apprise: the addresses in AEGIS_NOTIFY. They hold secrets, so they are no setting."""
    return tuple(os.environ.get("AEGIS_NOTIFY", "").split())


def config_file() -> Path:
    """The aegis.yaml in use; it need not exist."""
    return Path(os.environ.get("AEGIS_CONFIG", "aegis.yaml"))


def load_settings(home: Path | None = None) -> Settings:
    """Read the environment and aegis.yaml; `home` goes before both.

    Raises ConfigurationError that names the setting.
    """
    if "AEGIS_CONFIG" in os.environ and not config_file().is_file():
        raise ConfigurationError(
            f"AEGIS_CONFIG names {config_file()}, which is no file.", remedy="correct or unset AEGIS_CONFIG."
        )
    try:
        settings = Settings()
    except (YAMLError, SettingsError) as error:
        raise ConfigurationError(
            f"The settings cannot be read: {' '.join(str(error).split())}.",
            remedy=f"correct the YAML in {config_file()}, or the JSON in the environment variable that it names.",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"Setting `{name}`: {first['msg']}.",
            remedy=f"correct it in {config_file()} or AEGIS_{name.upper().replace('.', '__')}; docs/guides/SETTINGS.md lists all.",
        ) from error
    home = normalized(home or settings.home)
    root = settings.root or remembered_root(home)
    return settings.model_copy(update={"home": home, "root": watched_root(root) if root else None})


def watched_root(written: str | Path) -> str | Path:
    """A root as somebody wrote it: a URL without its last slash, or an absolute path."""
    text = str(written)
    if text.startswith("file:"):
        return normalized(Path(unquote(urlsplit(text).path)))
    url = as_url(text)
    return url.rstrip("/") if url else normalized(Path(text))


def as_url(written: str | Path) -> str | None:
    """The URL that a path is: pathlib makes `s3:/bucket` of `s3://bucket`. None: it is a path."""
    scheme, colon, rest = str(written).partition(":/")
    if not colon or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]+", scheme):
        return None
    return f"{scheme}://{rest.removeprefix('/')}"


def normalized(path: Path) -> Path:
    """Absolute, without `..`; links stay links."""
    return Path(os.path.normpath(path.absolute()))


def remembered_root(home: Path) -> str | None:
    """The root that `remember_root` wrote, if any."""
    file = home / "root"
    return file.read_text("utf-8").strip() if file.is_file() else None


def remember_root(home: Path, root: str | Path) -> None:
    """Make `root` this home's watched root from now on."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "root").write_text(f"{root}\n", "utf-8")
