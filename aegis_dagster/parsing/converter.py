"""docling's converter: built once in a process for each set of options, fed with bytes.

No option allows docling to fetch anything: pictures that a document links to stay links.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_dagster.errors import ConfigurationError, DocumentError, FailureCode
from aegis_dagster.parsing.checks import corrupt
from aegis_dagster.parsing.formats import IMAGE_FORMATS
from aegis_dagster.parsing.identity import has_weights

if TYPE_CHECKING:
    from docling.document_converter import DocumentConverter
    from docling_core.types.doc.document import DoclingDocument


@dataclass(frozen=True, slots=True)
class ConverterOptions:
    """What a converter is built for."""

    pdf_route: str  # "models" or "rules"
    docling_models: str | None  # folder of docling's weights; None: the hub's cache
    ocr: bool


@dataclass(frozen=True, slots=True)
class Converted:
    """What docling made of a document."""

    document: "DoclingDocument"
    ocr_pages: int
    warnings: tuple[str, ...]


def convert(data: bytes, *, name: str, kind: str, options: ConverterOptions) -> Converted:
    """The document of the bytes. `name` carries the suffix and nothing of the original path.

    Raises DocumentError: CORRUPT_FILE, MEMORY_LIMIT; ConfigurationError where the models cannot be loaded.
    """
    from docling.datamodel.base_models import ConversionStatus, DocumentStream

    if kind != "pdf" and kind not in IMAGE_FORMATS:
        # The other formats know no route and no OCR: one converter serves them all.
        options = ConverterOptions("rules", None, False)
    converter = _converter(options)
    try:
        result = converter.convert(DocumentStream(name=name, stream=io.BytesIO(data)), raises_on_error=False)
    except MemoryError as error:
        raise DocumentError(
            FailureCode.MEMORY_LIMIT,
            "The document needs more memory than its worker may use.",
            remedy="split it, or raise parse.memory_mb in aegis.yaml.",
        ) from error
    except Exception as error:
        # docling promises to report errors instead, and its backends break that promise in many ways.
        raise corrupt(_short(f"{type(error).__name__}: {error}")) from error
    reasons = tuple(
        (f"page {error.page_no}: " if error.page_no else "") + _short(error.error_message) for error in result.errors
    )
    if result.status not in (ConversionStatus.SUCCESS, ConversionStatus.PARTIAL_SUCCESS):
        raise corrupt(reasons[0] if reasons else f"docling ended with status {result.status.value}.")
    ocr_pages = sum(scores.ocr_score == scores.ocr_score for scores in result.confidence.pages.values())  # not NaN
    return Converted(result.document, ocr_pages, reasons)


def _short(message: str) -> str:
    """The first line, without docling's wrapping, at most 300 characters."""
    line = next((line for line in message.strip().splitlines() if line.strip()), "no reason given")
    return line if len(line) <= 300 else f"{line[:297]}..."


@lru_cache(maxsize=4)
def _converter(options: ConverterOptions) -> "DocumentConverter":
    from docling.datamodel.backend_options import (
        EpubBackendOptions,
        HTMLBackendOptions,
        MarkdownBackendOptions,
        ThreadedDoclingParseBackendOptions,
    )
    from docling.datamodel.base_models import InputFormat
    from docling.document_converter import (
        DocumentConverter,
        EpubFormatOption,
        HTMLFormatOption,
        ImageFormatOption,
        MarkdownFormatOption,
        PdfFormatOption,
    )

    pipeline: dict[str, Any] = {"pipeline_options": _pdf_options(options)}
    if options.pdf_route == "rules":
        from aegis_dagster.parsing.pdf_pipeline import RulesPdfPipeline

        pipeline["pipeline_cls"] = RulesPdfPipeline
    # Two pages at a time: more only compete for the cores that other workers use.
    backend = ThreadedDoclingParseBackendOptions.model_validate({"parser_threads": 2, "max_concurrent_results": 8})
    # Pictures inside the file (data: addresses) are read, everything outside it is not. What stands before the
    # first heading of a page is text like any other: inferred furniture would be in no chunk.
    inside: dict[str, Any] = {"fetch_images": True, "enable_remote_fetch": False, "enable_local_fetch": False}
    converter = DocumentConverter(
        allowed_formats=[
            InputFormat.PDF,
            InputFormat.IMAGE,
            InputFormat.DOCX,
            InputFormat.PPTX,
            InputFormat.XLSX,
            InputFormat.HTML,
            InputFormat.MD,
            InputFormat.CSV,
            InputFormat.EMAIL,
            InputFormat.EPUB,
        ],
        format_options={
            InputFormat.PDF: PdfFormatOption(backend_options=backend, **pipeline),
            InputFormat.IMAGE: ImageFormatOption(**pipeline),
            InputFormat.HTML: HTMLFormatOption(backend_options=HTMLBackendOptions(infer_furniture=False, **inside)),
            InputFormat.MD: MarkdownFormatOption(backend_options=MarkdownBackendOptions(**inside)),
            InputFormat.EPUB: EpubFormatOption(backend_options=EpubBackendOptions(**inside)),
        },
    )
    if options.pdf_route == "models":
        _load_models(converter)
    return converter


def _load_models(converter: "DocumentConverter") -> None:
    """Load them now, so that weights which cannot be loaded are not blamed on the document."""
    from docling.datamodel.base_models import InputFormat

    try:
        converter.initialize_pipeline(InputFormat.PDF)
    except Exception as error:
        # From missing files over broken weights to CUDA: nothing common to catch.
        raise ConfigurationError(
            f"docling's models cannot be loaded: {_short(f'{type(error).__name__}: {error}')}",
            remedy="run `docling-tools models download -o FOLDER layout tableformer` again, "
            "or set parse.pdf_route to `rules`.",
        ) from error


def _pdf_options(options: ConverterOptions) -> Any:
    from docling.datamodel.pipeline_options import HeadingHierarchyOptions, RapidOcrOptions, ThreadedPdfPipelineOptions

    from aegis_dagster.parsing.ocr_weights import shipped_ocr_weights

    weights = shipped_ocr_weights()
    models = Path(options.docling_models) if options.docling_models else None
    return ThreadedPdfPipelineOptions(
        artifacts_path=models if options.pdf_route == "models" and models and has_weights(models) else None,
        do_ocr=options.ocr,
        ocr_options=RapidOcrOptions(
            backend="onnxruntime",
            det_model_path=weights.detection,
            rec_model_path=weights.recognition,
            cls_model_path=weights.orientation,
        ),
        do_table_structure=options.pdf_route == "models",
        heading_hierarchy_options=HeadingHierarchyOptions(enabled=True, use_style=False),
        # Pictures are cut out afterwards (`pictures.py`): kept page images would fill the memory.
        generate_picture_images=False,
        batch_polling_interval_seconds=0.05,
        queue_max_size=8,
    )
