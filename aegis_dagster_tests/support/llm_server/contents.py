"""The content of the scripted server's answers: their text and tokens."""

import json
import re
from dataclasses import dataclass
from itertools import pairwise

from aegis_dagster_tests.support.llm_server.behaviours import Behaviour, Kind
from aegis_dagster_tests.support.llm_server.counting import Asked, Tokens, count_words

MOST_ENTITIES = 10
_NAME = re.compile(r"\b[A-Z][\w-]+(?: [A-Z][\w-]+)*")
_PASSAGE = re.compile(r"---Input Text---\s*```\n(.*?)\n```", re.DOTALL)  # where LightRAG's prompt puts it


@dataclass(frozen=True, slots=True)
class Said:
    """The text of an answer and its tokens."""

    text: str
    finish_reason: str
    tokens: Tokens


def said(asked: Asked, behaviour: Behaviour) -> Said:
    """The answer to a request."""
    if asked.embedding:
        return Said("", "stop", Tokens(input=asked.input_tokens))
    limit = None if behaviour.ignore_max_tokens else asked.max_tokens
    reasoning = behaviour.reasoning_tokens if limit is None else min(behaviour.reasoning_tokens, limit)
    text = "" if behaviour.kind in {Kind.FILTERED, Kind.EMPTY_CHOICES} else _text(asked, behaviour)
    reason = "content_filter" if behaviour.kind is Kind.FILTERED else "stop"
    if limit is not None and count_words(text) > limit - reasoning:
        text, reason = " ".join(text.split()[: limit - reasoning]), "length"
    cached = min(behaviour.cached_tokens, asked.input_tokens)
    tokens = Tokens(
        input=asked.input_tokens,
        cached=cached,
        written=min(behaviour.cache_write_tokens, asked.input_tokens - cached),
        output=count_words(text) + reasoning,
        reasoning=reasoning,
    )
    return Said(text, behaviour.finish_reason or reason, tokens)


def _text(asked: Asked, behaviour: Behaviour) -> str:
    if behaviour.text is not None:
        return behaviour.text
    if behaviour.words is not None:
        return " ".join(f"word{number}" for number in range(behaviour.words))
    content = behaviour.content
    if content == "auto":
        content = "description" if asked.pictures else "entities" if asked.json_mode else "echo"
    if content == "entities":
        return entities(asked.texts[-1] if asked.texts else "")
    if content == "description":
        return f"A picture that {asked.model} describes in these nine words."
    return asked.texts[-1] if asked.texts else ""


def entities(prompt: str) -> str:
    """Capitalised words of the passage as entities, neighbours related: the JSON that LightRAG's prompt asks for."""
    found = _PASSAGE.search(prompt)
    names = list(dict.fromkeys(_NAME.findall(found.group(1) if found else prompt)))[:MOST_ENTITIES]
    return json.dumps(
        {
            "entities": [{"name": name, "type": "Other", "description": f"{name} is named here."} for name in names],
            "relationships": [
                {"source": one, "target": other, "keywords": "named together", "description": f"{one} with {other}."}
                for one, other in pairwise(names)
            ],
        }
    )
