"""Whether the embedding model understands what the corpus is written in."""

from collections.abc import Collection

from aegis_dagster.composition.project import Project
from aegis_dagster.domain.languages import mostly_foreign
from aegis_dagster.domain.stages import Document, Stage
from aegis_dagster.embedding.model_files import LANGUAGES, MODEL

SWITCH = "set embed.model to a multilingual model, e.g. `local/bge-m3` with OLLAMA_HOST set."


def language_warning(project: Project, only: Collection[Document] | None = None) -> str:
    """What to tell whoever has most passages in a language that the model does not understand; else "".

    Only MiniLM's languages are known. only: of these documents, default: of all.
    """
    if project.settings.embed.model != MODEL:
        return ""
    found = mostly_foreign(project.reports.facts(Stage.CHUNK, only).values(), LANGUAGES)
    if found is None:
        return ""
    language, share = found
    return (
        f"{share:.0%} of the passages are not in English, most of them in `{language}` (ISO 639-1), and the embedding "
        f"model {MODEL} understands English only: search by meaning misses them, search by words finds them. "
        f"Remedy: {SWITCH}"
    )
