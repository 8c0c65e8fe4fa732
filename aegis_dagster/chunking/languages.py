"""The languages of passages. Load it in a worker: the identifier's model takes half a second to load."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from py3langid.langid import MODEL_FILE, LanguageIdentifier

_FEWEST_LETTERS = 40  # a shorter passage says too little; so does a table of numbers
# The model whose longest feature has 6 bytes: a test has measured it. Another one is asked in its own way.
_STATES, _LONGEST_FEATURE = 104_583, 6


def languages_of(texts: Iterable[str]) -> dict[str, int]:
    """How many passages are in which language (ISO 639-1); those that say too little count for none."""
    found = Counter(load_identifier().language_of(text) for text in texts if _says_enough(text))
    return dict(sorted(found.items()))


@lru_cache(maxsize=1)
def load_identifier() -> "Identifier":
    """The identifier of this process, which those that it forks share."""
    return Identifier()


class Identifier:
    """py3langid's identifier, which takes a text's features in six steps instead of one for each byte.

    Which features end at a byte depends on no more bytes than the longest feature has, so all bytes go side by side.
    """

    def __init__(self) -> None:
        self.model = LanguageIdentifier.from_model_file(MODEL_FILE)
        self._next = np.asarray(self.model.tk_nextmove)
        self._rows = np.asarray(self.model.tk_row, dtype=np.intp) << 8
        self._features = np.asarray(self.model.tk_output, dtype=np.int32)

    def language_of(self, text: str) -> str:
        """What `classify` of py3langid says, without its score."""
        features = self._features_of(self.model._encode(text)) if len(self._features) == _STATES else np.zeros(0)
        if not len(features):
            return str(self.model.classify(text)[0])
        numbers, first, counts = np.unique(features, return_index=True, return_counts=True)
        order = np.argsort(first)  # sums of floats depend on the order
        weights = np.log1p(counts[order].astype(np.float32))
        scores = weights @ self.model.nb_ptc[numbers[order]] + self.model.nb_pc
        for one, alias in self.model._alias_pairs:
            scores[one] = max(scores[one], scores[alias])
            scores[alias] = -np.inf
        return str(self.model.nb_classes[int(scores.argmax())])

    def _features_of(self, data: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int32]]":
        """The features in the order in which they end."""
        letters = np.frombuffer(data, dtype=np.uint8)
        states = np.zeros(len(data), dtype=np.intp)
        for back in reversed(range(min(_LONGEST_FEATURE, len(data)))):
            states[back:] = self._next[self._rows[states[back:]] + letters[: len(data) - back]]
        found = self._features[states]
        return found[found >= 0]


def _says_enough(text: str) -> bool:
    words = "".join(set(text.split()))  # a word says nothing more when it is repeated
    letters = [character for character in words if character.isalpha()]
    ideographs = sum("\u3040" <= letter <= "\u9fff" for letter in letters)  # one says as much as three letters
    return len(letters) + 2 * ideographs >= _FEWEST_LETTERS and len(letters) * 2 > len(words)
