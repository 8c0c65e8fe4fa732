"""The languages of passages. Load it in a worker: the identifier's model takes half a second to load."""

from collections import Counter
from collections.abc import Iterable

import py3langid

_FEWEST_LETTERS = 40  # a shorter passage says too little; so does a table of numbers


def languages_of(texts: Iterable[str]) -> dict[str, int]:
    """How many passages are in which language (ISO 639-1); those that say too little count for none."""
    return dict(sorted(Counter(py3langid.classify(text)[0] for text in texts if _says_enough(text)).items()))


def _says_enough(text: str) -> bool:
    words = "".join(set(text.split()))  # a word says nothing more when it is repeated
    letters = [character for character in words if character.isalpha()]
    ideographs = sum("\u3040" <= letter <= "\u9fff" for letter in letters)  # one says as much as three letters
    return len(letters) + 2 * ideographs >= _FEWEST_LETTERS and len(letters) * 2 > len(words)
