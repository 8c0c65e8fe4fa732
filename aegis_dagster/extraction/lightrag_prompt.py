"""The prompt for a chunk: LightRAG's own, in JSON mode."""

from functools import cache

from aegis_dagster.domain.llm import Message
from aegis_dagster.extraction.lightrag_library import lightrag
from aegis_dagster.pins import pinned

# Our version, beside LightRAG's: raise it with any change of what is filled in.
PROMPT_VERSION = 1

IDENTITY = f"lightrag-{pinned('lightrag-hku')}-{PROMPT_VERSION}"

_STRICTER = (
    "Your last answer could not be used. Return one complete JSON object with the arrays `entities` and "
    "`relationships` and nothing else. Keep descriptions to one short sentence, so that the object is complete. "
    'Only if the text names no entity at all, return {"entities": [], "relationships": []}.'
)


def messages(text: str, *, stricter: bool = False) -> tuple[Message, ...]:
    """The messages for a text: LightRAG's system and user prompt, without gleaning and section context.

    stricter: used after a bad answer; asks for half as many records, so that they fit. Raises ConfigurationError.
    """
    system, user = _templates(stricter)
    # A lone surrogate (from a broken document) cannot be sent: it becomes a question mark.
    clean = text.encode("utf-8", "replace").decode("utf-8")
    question = user.replace(_TEXT_GOES_HERE, clean)
    return Message("system", system), Message("user", f"{question}\n{_STRICTER}\n" if stricter else question)


_TEXT_GOES_HERE = "\x00text\x00"  # occurs in no template and in no text: a document has no NUL


@cache
def _templates(stricter: bool) -> tuple[str, str]:
    """The system prompt, and the user prompt with a mark where the text goes."""
    library = lightrag()
    prompts, constants = library.prompt.PROMPTS, library.constants
    divisor = 2 if stricter else 1
    values = {
        "entity_types_guidance": prompts["default_entity_types_guidance"],
        "examples": "\n".join(prompts["entity_extraction_json_examples"]),
        "language": constants.DEFAULT_SUMMARY_LANGUAGE,
        "max_total_records": constants.DEFAULT_MAX_EXTRACTION_RECORDS // divisor,
        "max_entity_records": constants.DEFAULT_MAX_EXTRACTION_ENTITIES // divisor,
    }
    system: str = prompts["entity_extraction_json_system_prompt"].format(**values)
    user: str = prompts["entity_extraction_json_user_prompt"].format(
        **values, input_text=_TEXT_GOES_HERE, heading_context_block=""
    )
    return system.strip(), user.strip()  # as LightRAG sends them
