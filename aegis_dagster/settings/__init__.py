"""Every setting of the project, with its default and what it means.

Order, first wins: environment (`AEGIS_PARSE__WORKERS=4`: two underscores go one level down), then
`aegis.yaml` (in the working directory, or the file that `AEGIS_CONFIG` names), then the defaults here.
"""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from yaml import YAMLError

from aegis_dagster.domain.addresses import holds_secret
from aegis_dagster.domain.collection_names import require_exact
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.settings.containers import ContainerSettings
from aegis_dagster.settings.llm import LlmSettings
from aegis_dagster.settings.monitoring import AlertSettings, MetricsSettings, Neo4jSettings
from aegis_dagster.settings.schedules import ScheduleSettings
from aegis_dagster.settings.stages import (
    ArtifactSettings,
    ChunkSettings,
    CollectionPolicy,
    EmbedSettings,
    EnrichSettings,
    GraphSettings,
    LimitSettings,
    ListingSettings,
    MailSettings,
    ParseSettings,
)
from aegis_dagster.settings.variables import refuse_doubtful_json
from aegis_dagster.settings.vectors import QdrantSettings
from aegis_dagster.settings.workers import WorkerSettings
from aegis_dagster.settings.yaml_file import SettingsFile

_POLICIES = ("AEGIS_COLLECTIONS", "AEGIS_DEFAULT_POLICY")

RootUrl = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]+://")]


def _with_one_at(url: str) -> str:
    """Refuses a password with an unescaped @: its end would be read as the host, and errors name the host."""
    if url.partition("://")[2].partition("/")[0].count("@") > 1:
        raise ValueError("its user or password holds an @: write it as %40")
    return url


class Settings(BaseSettings):
    """All settings. Build it with `load_settings()`."""

    model_config = SettingsConfigDict(
        env_prefix="AEGIS_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    home: Path = Field(
        default=Path(".aegis"), description="Folder of all state: catalog, artifacts, vectors, the Dagster instance."
    )
    root: RootUrl | Path | None = Field(
        default=None,
        union_mode="left_to_right",
        description="The watched root: a folder, or an fsspec URL such as `s3://bucket/prefix`. Default: the first folder given to `aegis ingest`.",
    )
    root_options: dict[str, Any] = Field(
        default_factory=dict,
        repr=False,
        description='Options passed to fsspec if the root is a URL, e.g. `{"endpoint_url": "http://127.0.0.1:9000"}`. Keys belong in the environment (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, or fsspec\'s own configuration), not here.',
    )
    model_cache: Path | None = Field(
        default=None,
        description="Folder of the exported embedding model. Default: the user's cache folder, shared by all homes.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where MiniLM, docling's models and OCR compute: `cpu`, `cuda` (the first NVIDIA card) or `cuda:N`. `auto`: the first card if there is one and torch is installed with CUDA (the extra `gpu`), otherwise the CPU.",
    )
    lease_seconds: float = Field(
        default=600.0,
        gt=0,
        description="Time after which the claim of a document expires whose process no longer renews it.",
    )
    memory_needed_mb: int = Field(
        default=1024,
        ge=0,
        description="`aegis ingest FILE`, `IngestionPipeline` and steps in containers refuse to start with less free memory.",
    )
    vram_needed_mb: int = Field(
        default=1024,
        ge=0,
        description="A step in a container with GPUs refuses to start with less free memory on each of them.",
    )
    database: Annotated[str, AfterValidator(_with_one_at)] | None = Field(
        default=None,
        repr=False,
        description="SQLAlchemy URL of another database, e.g. `postgresql+psycopg2://user:password@host/name`. Default: `<home>/aegis.db`. A new `dagster.yaml` then puts Dagster's own storage there, too, in the schema `dagster`.",
    )
    artifacts: ArtifactSettings = ArtifactSettings()
    listing: ListingSettings = ListingSettings()
    workers: WorkerSettings = WorkerSettings()
    parse: ParseSettings = ParseSettings()
    mail: MailSettings = MailSettings()
    enrich: EnrichSettings = EnrichSettings()
    chunk: ChunkSettings = ChunkSettings()
    embed: EmbedSettings = EmbedSettings()
    graph: GraphSettings = GraphSettings()
    limits: LimitSettings = LimitSettings()
    qdrant: QdrantSettings = QdrantSettings()
    llm: LlmSettings = LlmSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    metrics: MetricsSettings = MetricsSettings()
    alerts: AlertSettings = AlertSettings()
    neo4j: Neo4jSettings = Neo4jSettings()
    containers: ContainerSettings = ContainerSettings()
    default_policy: Literal["open", "local_only"] = Field(
        default="open",
        description="Whether a collection that does not say `local_only` itself is confidential. `local_only`: every collection is, also a new folder, except those with `collections.NAME.local_only: false`.",
    )
    collections: dict[str, CollectionPolicy] = Field(
        default_factory=dict, description="Policy by collection name; a collection without a policy has the defaults."
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
        return init_settings, env_settings, SettingsFile(settings_cls, yaml_file=config_file())

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the catalog, evidence, caches and ledger."""
        return self.database or f"sqlite:///{self.home / 'aegis.db'}"

    @property
    def artifacts_dir(self) -> Path:
        """Folder of the artifact store; with `artifacts.url` results are only made there."""
        return self.home / "artifacts"

    @property
    def artifact_cache_dir(self) -> Path:
        """Folder of local copies of artifacts that are behind `artifacts.url`."""
        return self.home / "artifact-cache"

    @property
    def vectors_dir(self) -> Path:
        """Folder of the vector store, unless it is on a server."""
        return self.home / ("qdrant" if self.qdrant.kind == "client" else "vectors")

    @property
    def vectors_address(self) -> str:
        """Where the vector store is: the URL of a server or a folder."""
        return self.qdrant.url or "" if self.qdrant.kind == "server" else self.vectors_dir.absolute().as_uri()

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance that `aegis ingest` records its runs in."""
        configured = os.environ.get("DAGSTER_HOME")
        return Path(configured) if configured else self.home / "dagster"

    @property
    def docling_models_dir(self) -> Path:
        """Folder where docling's weights are looked for."""
        return self.parse.docling_models or self.home / "models" / "docling"

    @property
    def local_only_by_default(self) -> bool:
        """Whether a collection without a policy of its own is confidential."""
        return self.default_policy == "local_only"

    @property
    def policies(self) -> dict[str, CollectionPolicy]:
        """The policies by collection name, with what each leaves to `default_policy`."""
        return {name: self._complete(policy) for name, policy in self.collections.items()}

    def policy(self, collection: str) -> CollectionPolicy:
        """The policy of a collection. Raises ConfigurationError if `collections` nearly names it."""
        require_exact(collection, self.collections, setting="collections")
        return self._complete(self.collections.get(collection, CollectionPolicy()))

    @property
    def confidential(self) -> str:
        """Which collections are local_only, in words; "" if none is."""
        policies = self.policies
        if not self.local_only_by_default:
            return ", ".join(name for name, policy in policies.items() if policy.local_only)
        opened = ", ".join(name for name, policy in policies.items() if not policy.local_only)
        return f"all but {opened}" if opened else "all"

    def require_exact_names(self, collections: Iterable[str]) -> None:
        """Raises ConfigurationError if a setting nearly names one of these collections."""
        for collection in collections:
            require_exact(collection, self.collections, setting="collections")
            require_exact(collection, self.llm.budgets.collections, setting="llm.budgets.collections")

    def _complete(self, policy: CollectionPolicy) -> CollectionPolicy:
        if policy.local_only is not None:
            return policy
        return policy.model_copy(update={"local_only": self.local_only_by_default})


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
    _refuse_misread_variables()
    try:
        settings = Settings()
    except (YAMLError, SettingsError, UnicodeError) as error:
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
    for variable, folder in (("AEGIS_HOME", home), ("DAGSTER_HOME", settings.dagster_home)):
        if "?" in str(folder):
            raise ConfigurationError(
                f"{variable} has a question mark in its path: {folder}.",
                remedy=f"set {variable} to a path without one, because databases read it as the end of the path.",
            )
    root = settings.root or remembered_root(home)
    return settings.model_copy(update={"home": home, "root": watched_root(root) if root else None})


def _refuse_misread_variables() -> None:
    """Refuse variables that would set something else than they say, or nothing.

    pydantic-settings makes their names small letters and passes over sections that it does not know. Those of one word
    may be another program's, and are let be, unless one looks like a policy.
    """
    for name in os.environ:
        upper = name.upper()
        if not upper.startswith("AEGIS_"):
            continue
        first, *rest = upper.removeprefix("AEGIS_").split("__")
        if first.lower() in Settings.model_fields:
            refuse_doubtful_json(name, os.environ[name])
        if not rest:
            _refuse_misspelt_policy(name)
            continue
        if first.lower() not in Settings.model_fields:
            known = ", ".join(f"AEGIS_{each.upper()}" for each in Settings.model_fields)
            raise ConfigurationError(
                f"The variable {name} is no setting.", remedy=f"correct or unset it; known are {known}."
            )
        of_budgets = (first, *rest[:2]) == ("LLM", "BUDGETS", "COLLECTIONS")
        if first == "COLLECTIONS" or (of_budgets and len(rest) > 2):
            whole = "AEGIS_LLM__BUDGETS__COLLECTIONS" if of_budgets else "AEGIS_COLLECTIONS"
            value = '{"Contracts": 5}' if of_budgets else '{"Contracts": {"local_only": true}}'
            raise ConfigurationError(
                f"{name} cannot name a collection: upper and lower case are lost in the names of variables.",
                remedy=f"write it into {config_file()}, or set all of them as JSON: {whole}='{value}'.",
            )


def _refuse_misspelt_policy(name: str) -> None:
    upper = name.upper()
    meant = get_close_matches(upper, _POLICIES, 1, cutoff=0.85)
    if upper not in _POLICIES and (meant or re.search("POLIC|LOCAL_?ONLY", upper)):
        raise ConfigurationError(
            f"The variable {name} is no setting, and would protect nothing.",
            remedy=f"write it as {meant[0] if meant else ' or '.join(_POLICIES)}, or unset it.",
        )


def watched_root(written: str | Path) -> str | Path:
    """A root as somebody wrote it: a URL without its last slash, or an absolute path."""
    refuse_secrets(written)
    text = str(written)
    if text.startswith(("file:", "local:")):
        return normalized(Path(unquote(urlsplit(text).path)))
    url = as_url(text)
    return url.rstrip("/") if url else normalized(Path(text))


def refuse_secrets(written: str | Path) -> None:
    """Raises ConfigurationError if an address of documents holds a credential; the error does not repeat it."""
    if holds_secret(str(written)):
        raise ConfigurationError(
            "The address of the watched root holds a user, a password, a key or a token; it would be stored and shown.",
            remedy="write it without, in `root`, AEGIS_ROOT or the file `root` of AEGIS_HOME, and put the credential "
            "into the environment (for S3 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or into fsspec's configuration "
            "(~/.config/fsspec/*.json). If it was stored or shown before, replace it.",
        )


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
    """The root that `remember_root` wrote, if any. Raises ConfigurationError when it is no path."""
    file = home / "root"
    root = file.read_text("utf-8", "surrogateescape").strip() if file.is_file() else None
    if root is not None and (not root or "\0" in root):
        raise ConfigurationError(
            f"{file} does not hold the path of the watched root.",
            remedy="write the path into it, in one line, or set AEGIS_ROOT.",
        )
    return root


def remember_root(home: Path, root: str | Path) -> None:
    """Make `root` this home's watched root from now on."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "root").write_text(f"{root}\n", "utf-8", "surrogateescape")
