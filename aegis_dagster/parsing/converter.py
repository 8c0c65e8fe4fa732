"""docling's pipelines: built once per process for each set of options, and fed with bytes.

They are built here because docling's DocumentConverter imports every pipeline, and with the one for sound also torch.
No option allows docling to download anything: pictures that a document links to stay links.
"""

import importlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aegis_dagster.device import find_device
from aegis_dagster.errors import ConfigurationError
from aegis_dagster.parsing.checks import corrupt, too_large_for_memory
from aegis_dagster.parsing.formats import IMAGE_FORMATS
from aegis_dagster.parsing.identity import has_weights
from aegis_dagster.parsing.readers import Parsed

if TYPE_CHECKING:
    from docling.datamodel.document import ConversionResult, InputDocument
    from docling.datamodel.pipeline_options import ThreadedPdfPipelineOptions
    from docling.pipeline.base_pipeline import BasePipeline

    from aegis_dagster.parsing.pdf.form_rules import Field
    from aegis_dagster.parsing.pdf.pipeline import RulesPdfPipeline

# The reader of each format: docling's name of the format, module and class. Only those that a worker needs are loaded.
_BACKENDS = {
    "pdf": ("PDF", "docling_parse_backend", "ThreadedDoclingParseDocumentBackend"),
    **dict.fromkeys(IMAGE_FORMATS, ("IMAGE", "image_backend", "ImageDocumentBackend")),
    "docx": ("DOCX", "msword_backend", "MsWordDocumentBackend"),
    "pptx": ("PPTX", "mspowerpoint_backend", "MsPowerpointDocumentBackend"),
}
_MODEL_MODULES = ("torch", "torchvision", "transformers", "docling_ibm_models")


@dataclass(frozen=True, slots=True)
class ConverterOptions:
    """What a pipeline for PDFs and pictures is built for."""

    pdf_route: str  # "models" or "rules"
    docling_models: str | None  # folder of docling's weights; None: the hub's cache
    ocr: bool
    device: str = "auto"  # of the settings


def read(
    data: bytes, *, name: str, kind: str, options: dict[str, Any], fields: "Mapping[int, Sequence[Field]] | None" = None
) -> Parsed:
    """docling's document of the bytes, as `readers.Reader` has it. `fields` are those of a PDF's pages (1-based).

    Raises DocumentError: CORRUPT_FILE, MEMORY_LIMIT; ConfigurationError where the models cannot be loaded.
    """
    from docling.datamodel.base_models import ConversionStatus

    paginated = kind == "pdf" or kind in IMAGE_FORMATS
    device = options.get("device", "auto")
    of_pages = ConverterOptions(options["pdf_route"], options["docling_models"], options["ocr"], device)
    pipeline = _paginated_pipeline(of_pages, fields or {}) if paginated else _simple_pipeline()
    try:
        result = _execute(pipeline, _open(data, name, kind))
    except MemoryError as error:
        raise too_large_for_memory() from error
    except Exception as error:
        # docling promises to report errors instead of raising them; its backends break that promise in many ways.
        raise corrupt(f"its reader stopped with {type(error).__name__}.") from error
    if result.status not in (ConversionStatus.SUCCESS, ConversionStatus.PARTIAL_SUCCESS):
        reasons = "; ".join(error.error_message for error in result.errors)
        raise corrupt(f"its reader ended with status {result.status.value}.") from ValueError(reasons)
    warnings = [
        f"page {error.page_no} could not be read" if error.page_no else "a part could not be read"
        for error in result.errors
    ]
    ocr_pages = sum(scores.ocr_score == scores.ocr_score for scores in result.confidence.pages.values())  # not NaN
    route = {"models": "docling-models", "rules": "rules"}[of_pages.pdf_route] if paginated else "docling"
    return Parsed(result.document, route, tuple(dict.fromkeys(warnings)), ocr_pages=ocr_pages)


def _short(message: str) -> str:
    """The first line, without docling's wrapping, at most 300 characters."""
    line = next((line for line in message.strip().splitlines() if line.strip()), "no reason given")
    return line if len(line) <= 300 else f"{line[:297]}..."


def _open(data: bytes, name: str, kind: str) -> "InputDocument":
    from docling.datamodel.base_models import InputFormat
    from docling.datamodel.document import InputDocument

    input_format, module, backend = _BACKENDS[kind]
    return InputDocument(
        io.BytesIO(data),
        format=InputFormat[input_format],
        backend=getattr(importlib.import_module(f"docling.backend.{module}"), backend),
        backend_options=_backend_options(kind),
        filename=name,
    )


def _backend_options(kind: str) -> Any:
    from docling.datamodel.backend_options import ThreadedDoclingParseBackendOptions

    if kind == "pdf":
        # Two pages at a time: more only compete for the cores that other workers use. Few are read ahead, because a
        # decoded page takes up to 10 MiB.
        threads = {"parser_threads": 2, "max_concurrent_results": 2, "release_native_memory_every_n_pages": 16}
        return ThreadedDoclingParseBackendOptions.model_validate(threads)
    return None


def _execute(pipeline: "BasePipeline", document: "InputDocument") -> "ConversionResult":
    from docling.datamodel.base_models import ConversionStatus
    from docling.datamodel.document import ConversionResult, build_invalid_input_errors

    if document.valid:
        return pipeline.execute(document, raises_on_error=False)
    reasons = build_invalid_input_errors(document)
    return ConversionResult(input=document, status=ConversionStatus.FAILURE, errors=reasons)


@lru_cache(maxsize=1)
def _simple_pipeline() -> "BasePipeline":
    from docling.pipeline.simple_pipeline import SimplePipeline

    return SimplePipeline(SimplePipeline.get_default_options())


def _paginated_pipeline(options: ConverterOptions, fields: "Mapping[int, Sequence[Field]]") -> "BasePipeline":
    if options.pdf_route == "rules":
        pipeline = _rules_pipeline(options)
        pipeline.rule_layout.fields = fields
        return pipeline
    return _model_pipeline(options)


@lru_cache(maxsize=4)
def _rules_pipeline(options: ConverterOptions) -> "RulesPdfPipeline":
    from aegis_dagster.parsing.pdf.pipeline import RulesPdfPipeline

    return RulesPdfPipeline(pdf_options(options))


@lru_cache(maxsize=4)
def _model_pipeline(options: ConverterOptions) -> "BasePipeline":
    """docling's own pipeline. It loads its models now, so that a failure to load is not blamed on a document.

    Raises ConfigurationError, also where the card that the settings name is not there.
    """
    if missing := [name for name in _MODEL_MODULES if importlib.util.find_spec(name) is None]:
        raise ConfigurationError(
            f"PDFs are to be read by docling's models, but {', '.join(missing)} is not installed.",
            remedy="pip install 'aegis_dagster[docling-models]', or set parse.pdf_route to `rules`.",
        )
    from docling.pipeline.standard_pdf_pipeline import StandardPdfPipeline

    if options.device.startswith("cuda"):
        find_device(options.device)
    try:
        return StandardPdfPipeline(pdf_options(options))
    except Exception as error:
        # From missing files and broken weights to CUDA: the errors have no common class to catch.
        raise ConfigurationError(
            f"docling's models cannot be loaded: {_short(f'{type(error).__name__}: {error}')}",
            remedy="run `docling-tools models download -o FOLDER layout tableformer` again, "
            "or set parse.pdf_route to `rules`.",
        ) from error


def pdf_options(options: ConverterOptions) -> "ThreadedPdfPipelineOptions":
    """The options of docling's pipeline for PDFs and pictures."""
    from docling.datamodel.accelerator_options import AcceleratorOptions
    from docling.datamodel.pipeline_options import HeadingHierarchyOptions, RapidOcrOptions, ThreadedPdfPipelineOptions

    from aegis_dagster.parsing.pdf.ocr_weights import shipped_ocr_weights

    weights = shipped_ocr_weights()
    models = Path(options.docling_models) if options.docling_models else None
    batch = 4 if options.pdf_route == "models" else 1  # rules take one page after the other
    return ThreadedPdfPipelineOptions(
        accelerator_options=AcceleratorOptions(device=options.device),
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
        # Of each step at most one page waits, and one is worked on: the memory must not depend on the slowest step.
        queue_max_size=1,
        ocr_batch_size=1,
        layout_batch_size=batch,
        table_batch_size=batch,
    )
