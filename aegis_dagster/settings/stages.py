"""Settings of the stages: artifacts, listing, parsing, pictures, chunks, embeddings, graph, and of one collection."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from aegis_dagster.domain.addresses import holds_secret, names_of_secrets
from aegis_dagster.domain.attachments import AttachmentLimits
from aegis_dagster.domain.llm import Quality
from aegis_dagster.settings.section import Section
from aegis_dagster.settings.serve import ServeSettings


def _without_secret(url: str) -> str:
    if holds_secret(url):
        raise ValueError(f"it holds a user, a password, a key or a token: {_IN_ENVIRONMENT}")
    return url.rstrip("/")


def _without_keys(options: dict[str, Any]) -> dict[str, Any]:
    if names := ", ".join(names_of_secrets(options)):
        raise ValueError(f"{names} would be a credential in a file: {_IN_ENVIRONMENT}")
    return options


_IN_ENVIRONMENT = "leave it out, and put it into the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or into fsspec's configuration (~/.config/fsspec/*.json)"
FsspecUrl = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]+://[^/]*/?[^?#]*$")]


class ArtifactSettings(Section):
    """Where the results of parse, enrich and chunk are stored."""

    url: Annotated[FsspecUrl, AfterValidator(_without_secret)] | None = Field(
        default=None,
        description="An fsspec URL, first of all of a bucket: `s3://bucket/prefix`. Every machine that works on this catalog must have the same. One prefix belongs to one catalog. Default: the folder `<home>/artifacts` (docs/guides/BUCKET.md).",
    )
    options: Annotated[dict[str, Any], AfterValidator(_without_keys)] = Field(
        default_factory=dict,
        repr=False,
        description='Options passed to fsspec with `url`, e.g. `{"endpoint_url": "http://127.0.0.1:9000"}`. Keys belong in the environment and are refused here.',
    )
    cache_megabytes: int = Field(
        default=2000,
        ge=0,
        description="Most megabytes of local copies of artifacts from `url`, in `<home>/artifact-cache` of each machine. What is being read comes on top and is never evicted.",
    )


class ListingSettings(Section):
    """How the watched root is scanned."""

    settle_seconds: float = Field(
        default=1.0,
        ge=0,
        description="A file younger than this is looked at twice, this far apart; if it changed in between, it is still being written and waits.",
    )
    patience_seconds: float = Field(
        default=30.0,
        gt=0,
        description="A root that does not respond for this long counts as unreadable: a mount whose server is gone, a server that accepts and never answers. What counts is silence, not how long a listing takes; only for buckets other than S3 the whole listing is one response. Dagster aborts a scan after 60 s: above 45, nobody is told of the silence.",
    )
    ignore: tuple[str, ...] = Field(
        default=("*.part", "*.tmp", "*~", "*.swp", "*.crdownload", "~$*", "Thumbs.db", "desktop.ini"),
        description="Names (fnmatch patterns) that are not documents. Names that begin with a dot never are.",
    )
    max_deleted_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="If more than this share of the known documents and more than `max_deleted_count` are gone, deletions are held until confirmed.",
    )
    max_deleted_count: int = Field(default=10, ge=0, description="See `max_deleted_share`.")


class ParseSettings(Section):
    """How documents are parsed."""

    workers: int = Field(default=2, ge=1, description="Worker processes.")
    timeout_seconds: float = Field(
        default=300.0, gt=0, description="Time limit for one document; then its worker is killed."
    )
    memory_mb: int = Field(default=2000, ge=256, description="A worker with more resident memory is killed.")
    documents_per_worker: int | None = Field(
        default=None,
        ge=1,
        description="Has no effect; still accepted, so that older files stay valid. A worker is replaced when it has grown beyond half of `memory_mb`.",
    )
    max_pages: int = Field(default=1000, ge=1, description="A document with more pages is refused before it is parsed.")
    max_megabytes: int = Field(default=200, ge=1, description="A larger file is refused before it is parsed.")
    max_pictures: int = Field(
        default=2000, ge=0, description="Pictures of a document beyond this many are left out, which is recorded."
    )
    max_picture_megabytes: int = Field(
        default=500,
        ge=0,
        description="Once the different pictures of a document take more room than this, the others are left out, which is recorded. Equal pictures are stored once over all documents.",
    )
    route: Literal["local", "serve"] = Field(
        default="local",
        description="Where PDFs and pictures are parsed: `local`, by worker processes here; `serve`, by the docling-serve at `parse.serve.url`. Other formats are always parsed here.",
    )
    serve: ServeSettings = ServeSettings()
    pdf_route: Literal["auto", "models", "rules"] = Field(
        default="auto",
        description="`models`: docling's own layout and table models; `rules`: layout by rules, no weights; `auto`: models if their weights are in `docling_models`, otherwise rules.",
    )
    docling_models: Path | None = Field(
        default=None,
        description="Folder of docling's weights. Default: `<home>/models/docling`; fill it with `docling-tools models download -o FOLDER`, a command of the extra `docling-models`. Tests cover this route up to loading the weights; it never ran with weights.",
    )
    ocr: bool = Field(default=True, description="Whether scans are read by OCR.")
    read_hidden: bool = Field(
        default=False,
        description="Whether hidden sheets, rows (by a filter too), columns, values and slides are read. If not, they are left out and counted by reason: answers then quote only what a person who opens the file sees.",
    )

    @property
    def other_limits(self) -> str:
        """The limits of pictures and what is hidden as a part of what results depend on; "" for the defaults."""
        usual, limits = ParseSettings(), (self.max_pictures, self.max_picture_megabytes)
        pictures = "" if limits == (usual.max_pictures, usual.max_picture_megabytes) else f"/pictures {limits}"
        return pictures + ("/hidden" if self.read_hidden else "")


class MailSettings(Section):
    """Which attachments of a mail become documents; the others are only named in the mail, with a warning."""

    max_documents: int = Field(
        default=AttachmentLimits().max_documents,
        ge=0,
        description="Most documents attached to one mail, those attached to attached mails included. 0: none.",
    )
    max_megabytes: int = Field(
        default=AttachmentLimits().max_megabytes,
        ge=0,
        description="Most megabytes of the documents attached to one mail.",
    )
    max_depth: int = Field(
        default=AttachmentLimits().max_depth,
        ge=1,
        description="How deep mails are opened. 1: only what is attached to the mail itself; 2: also what is attached to mails attached to it.",
    )

    @property
    def limits(self) -> AttachmentLimits:
        """The limits as the parser has them."""
        return AttachmentLimits(self.max_documents, self.max_megabytes, self.max_depth)

    @property
    def other_limits(self) -> str:
        """The limits as a part of what results depend on; "" for the defaults, as it was without limits."""
        return "" if self.limits == AttachmentLimits() else f"/{self.limits}"


class EnrichSettings(Section):
    """Which pictures are described, and by what."""

    describer: Literal["auto", "model", "ocr"] = Field(
        default="auto",
        description="`model`: a vision model of `llm`; `ocr`: the text in the picture; `auto`: a model if one is configured, otherwise OCR.",
    )
    quality: Quality = Field(default=Quality.STANDARD, description="Wanted quality of vision models.")
    max_side_pixels: int = Field(default=1024, ge=64, description="A larger picture is scaled down before it is sent.")
    max_answer_tokens: int = Field(default=500, ge=16, description="Most tokens of a description.")
    enabled: bool = Field(default=True, description="Describe pictures; a collection can turn it off.")
    min_side_pixels: int = Field(default=48, ge=1, description="A picture with a shorter side counts as decoration.")
    max_aspect: float = Field(
        default=12.0, ge=1, description="A picture longer than this many times its width counts as a rule or a banner."
    )
    min_colors: int = Field(default=3, ge=1, description="A picture with fewer colours counts as a box or a line.")


class ChunkSettings(Section):
    """How documents are cut into passages."""

    max_tokens: int = Field(
        default=240,
        ge=32,
        description="Most tokens of a chunk with its headings, by MiniLM's tokenizer. MiniLM ignores tokens beyond 256.",
    )
    merge_peers: bool = Field(default=True, description="Whether short neighbours under the same headings are merged.")
    timeout_seconds: float = Field(
        default=120.0,
        gt=0,
        description="Time limit for one document; then the plain chunker takes over, which is recorded.",
    )
    min_coverage: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="Share of a file's words that must be in its chunks; below it the document is marked. A number or a phrase that is missing marks it at any share.",
    )


class EmbedSettings(Section):
    """How chunks are embedded."""

    model: str = Field(
        default="all-MiniLM-L6-v2",
        description="The embedding model: `all-MiniLM-L6-v2`, which runs locally and understands English only, or `provider/model` of `llm`, e.g. `local/nomic-embed-text` for English, or `local/bge-m3`, `dashscope/text-embedding-v4`, `openai/text-embedding-3-small` for other languages.",
    )
    precision: Literal["fp32", "fp16"] = Field(
        default="fp32",
        description="Numbers in which MiniLM computes. `fp32`: the same vectors on every device. `fp16`: two to four times as fast, only on a card; its vectors differ by up to 0.0004 and are kept apart from others, so after a change every text is embedded again. Questions are embedded in fp32 either way.",
    )
    batch_size: int = Field(default=4, ge=1, description="Texts per inference of MiniLM on the CPU.")
    window_chunks: int = Field(
        default=4096,
        ge=1,
        description="Chunks held in memory together, sorted by length; a document of more than an eighth of this is embedded by itself, after the smaller ones.",
    )
    threads: int = Field(
        default=0, ge=0, description="Inferences of MiniLM side by side on the CPU; 0: one for each core."
    )


class GraphSettings(Section):
    """How entities and relations are found, and what is kept."""

    extractor: Literal["auto", "model", "statistical"] = Field(
        default="auto",
        description="`model`: a language model of `llm`; `statistical`: key phrases and co-occurrence; `auto`: a model if one is configured, otherwise statistical.",
    )
    quality: Quality = Field(default=Quality.STANDARD, description="Wanted quality of language models.")
    max_answer_tokens: int = Field(default=4096, ge=64, description="Most tokens of a model's answer about one chunk.")
    enabled: bool = Field(default=True, description="Extract entities and relations; a collection can turn it off.")
    max_entities_per_chunk: int = Field(default=10, ge=1, description="Most entities per chunk (statistical).")
    max_relations_per_chunk: int = Field(default=15, ge=0, description="Most relations per chunk (statistical).")


class LimitSettings(Section):
    """What one document may take. It is judged before anything is paid for it, as `aegis forecast` would count it."""

    max_chunks: int = Field(
        default=5_000,
        ge=1,
        description="Most passages of one document; with more it is neither embedded nor read for the graph.",
    )
    max_calls: int = Field(
        default=6_000,
        ge=0,
        description="Most model calls for one document, of all stages together; local models count too. Those since its bytes last changed, in this month, are counted in.",
    )
    max_usd: Decimal = Field(
        default=Decimal(2),
        ge=0,
        le=1_000_000,
        description="Most USD for one document, of all stages together, by the estimate made before each stage: what that stage costs above its estimate goes over the limit. What was spent on it since its bytes last changed, in this month, is counted in.",
    )


class CollectionPolicy(Section):
    """The policy of one collection."""

    local_only: bool | None = Field(
        default=None,
        description="Send its content only to providers with `local: true`. Default: see `default_policy`.",
    )
    enrich: bool = Field(default=True, description="Describe its pictures.")
    graph: bool = Field(default=True, description="Extract entities and relations from it.")

    @property
    def words(self) -> str:
        """The policy in words, e.g. "local_only" or "open, no graph"."""
        off = [f"no {name}" for name, on in (("pictures", self.enrich), ("graph", self.graph)) if not on]
        return ", ".join(["local_only" if self.local_only else "open", *off])
