"""What a provider says about a failure, made fit to be stored and shown: short, without keys and without content.

Providers quote: the key they refuse, the passage they do not like, the request they cannot read. Here such parts become
"[…]". Escaping for a terminal or for Markdown is the output's work.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from aegis_dagster.domain.answers import storable
from aegis_dagster.domain.llm import LLMTask

MOST_CHARACTERS = 240
HIDDEN = "[…]"

_RUN = 3  # so many words in a row that stand in the request are a quotation
_READ = 4_000  # of what a provider says; the rest is cut off first
_SECRETS = (
    re.compile(r"\bbearer\s+\S+|\bbasic\s+[a-z0-9+/=]{8,}|\bapi[-_ ]?key\s*[=:]\s*\S+", re.IGNORECASE),
    re.compile(
        r"(?<![^\W_])(?:sk|pk|rk|key|org|proj|req|gsk|xai|AKIA|AIza)[-_]?[A-Za-z0-9*_.-]*[0-9*][A-Za-z0-9*_.-]*"
    ),
    re.compile(r"(?<=://)[^/\s@]*@"),  # user and password of an address
    re.compile(r"(?<=[?#])[^\s\"'<>]*=[^\s\"'<>]*"),  # the query of an address
    re.compile(r"[A-Za-z0-9+/_=-]{20,}"),  # what is longer than a word: keys, ids, pictures
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|`[^`]*`|(?<!\w)'[^']*'(?!\w)")
_WORD = re.compile(r"[^\W\u2e80-\U0010ffff]+|[\u2e80-\U0010ffff]")  # where no spaces are, a character is a word
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrtbf\"\\/])")
_MARKUP = re.compile(r"<(?:script|style)\b.*?(?:</(?:script|style)[^>]*>|$)|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)


def fit_to_tell(said: str, task: LLMTask, *, key: str, model: str) -> str:
    """A provider's words on one line, without the key or anything like one, and without the task's content.

    model: its name may stay, though it may look like a key.
    """
    unescaped = _ESCAPED.sub(_character, _ESCAPED.sub(_character, said[:_READ]))  # a request quoted as JSON, in JSON
    text = storable(" ".join(unescaped.split()))
    if key:
        text = text.replace(key, HIDDEN)
    for secret in _SECRETS:
        text = secret.sub(lambda found: found[0] if found[0] in model else _hidden_secret(found), text)
    text = _without_content(text, [*(message.text for message in task.messages), *task.texts])
    text = re.sub(rf"{re.escape(HIDDEN)}(?:[\s,;:.]*{re.escape(HIDDEN)})+", HIDDEN, text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1].rstrip() + "…"


def page_words(page: str) -> str:
    """What a page says that came instead of JSON: its title, or else its text."""
    page = page[:_READ]
    if title := _TITLE.search(page):
        return title[1].strip()
    return _MARKUP.sub(" ", page).strip()


def _character(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return found[0][1] if found[0][1] in '"\\/' else " "


def _hidden_secret(found: re.Match[str]) -> str:
    """Plain words joined by hyphens or slashes are no secret: they have neither digits nor capitals within."""
    return found[0] if re.fullmatch(r"(?:[A-Z]?[a-z]+[-_/.]?)+", found[0]) else HIDDEN


def _without_content(text: str, request: Sequence[str]) -> str:
    """The text without quotations of the request and without its telling words.

    A telling word has a digit, a capital or a letter of another alphabet, stands in quotation marks, or is long.
    """
    words = [(found.start(), found.end(), found[0].casefold()) for found in _WORD.finditer(text)]
    asked = [found[0].casefold() for each in request for found in _WORD.finditer(each)]
    known, runs = sorted(set(asked)), {tuple(asked[start : start + _RUN]) for start in range(len(asked) - _RUN + 1)}
    quoted = [found.span() for found in _QUOTED.finditer(text)]
    hide = [
        _is_known(word, known) and (_tells(text, start, end) or any(first <= start < last for first, last in quoted))
        for start, end, word in words
    ]
    for index in range(len(words) - _RUN + 1):
        if tuple(word for _, _, word in words[index : index + _RUN]) in runs:
            hide[index : index + _RUN] = [True] * _RUN
    return "".join(_parts(text, [words[index][:2] for index in range(len(words)) if hide[index]]))


def _is_known(word: str, known: Sequence[str]) -> bool:
    """Whether a word stands in the request, also as the beginning of one: quotations are cut. known: sorted."""
    place = bisect_left(known, word)
    return place < len(known) and (known[place] == word or (len(word) >= 4 and known[place].startswith(word)))


def _tells(text: str, start: int, end: int) -> bool:
    word = text[start:end]
    begins_sentence = not text[:start].rstrip(" \"'([`“") or text[:start].rstrip(" \"'([`“")[-1] in ".!?:"
    name = word[:1].isupper() and not (begins_sentence and word[1:].islower() and len(word) < 5)
    return len(word) > 1 and (name or not word.isascii() or any(map(str.isdigit, word)) or len(word) >= 12)


def _parts(text: str, hidden: Sequence[tuple[int, int]]) -> Iterator[str]:
    position = 0
    for start, end in hidden:
        yield text[position:start]
        yield HIDDEN
        position = end
    yield text[position:]
