"""Whether an embedding model understands the language of most passages."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

LANGUAGES = "languages"  # key in the facts of a chunked document: passages by language (ISO 639-1)


def mostly_foreign(facts: Iterable[Mapping[str, Any]], understood: frozenset[str]) -> tuple[str, float] | None:
    """The most frequent language that is not understood, and the share (0..1) of passages in all such languages.

    None unless they are more than half of the passages whose language is known.
    """
    passages: Counter[str] = Counter()
    for one in facts:
        passages.update(one.get(LANGUAGES, {}))
    foreign = {language: count for language, count in passages.items() if language not in understood}
    strange, known = sum(foreign.values()), passages.total()
    if strange * 2 <= known:
        return None
    return min(foreign, key=lambda language: (-foreign[language], language)), strange / known
