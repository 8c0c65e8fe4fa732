"""Decides whether a model's answer describes a picture."""

import re

from aegis_dagster.domain.answers import without_thinking

MAX_CHARACTERS = 4_000

_FENCE = re.compile(r"^```[\w-]*\n(.*?)\n?```$", re.DOTALL)
_END_OF_SENTENCE = re.compile(r"(?:[.!?…][\"'”’»)\]]*(?=\s|$)|[。！？][」』”）]*|\n)")
_NOTHING = frozenset({"none", "null", "n/a", "na", "nothing", "unknown", "image", "picture", "description"})

_SEEING = r"(?:see|view|access|open|load|display|process|describe|analy[sz]e|identify|interpret|help|assist|provide)"
_REFUSED_AT_ONCE = re.compile(
    r"(?:i(?:['’]m| am) (?:so |very )?sorry|sorry[,.]|i apologi[sz]e|unfortunately,? i\b|as an ai\b"
    rf"|i (?:cannot|can['’]t|can not|could not|couldn['’]t) {_SEEING}\b"
    rf"|i(?:['’]m| am) (?:unable|not able) to {_SEEING}\b"
    r"|i (?:do not|don['’]t) (?:see|have) (?:any|an|the|access)\b"
    r"|(?:there is |there['’]s )?no (?:image|picture|photo)\b"
    r"|please (?:provide|upload|attach|share|send)\b"
    r"|es tut mir leid|tut mir leid|ich kann (?:das|dieses|kein|leider)\b"
    r"|je suis désolé|désolé[,.]|je ne (?:peux|vois)\b|lo siento|no puedo\b"
    r"|(?:很)?抱歉|对不起|我无法|我看不到|无法(?:查看|识别|看到)|没有(?:提供)?图)",
    re.IGNORECASE,
)
_REFUSED_SOON = re.compile(
    r"(?:(?:cannot|can['’]t|unable to|not able to) (?:see|view|access|open|load) (?:the|this|any|your|an) "
    r"(?:image|picture|photo)|(?:image|picture|photo) (?:was|has been|is) (?:not )?(?:provided|attached|uploaded))",
    re.IGNORECASE,
)
_SOON = 200  # characters
_ENDING = r"\.(?:png|jpe?g|gif|webp|bmp|tiff?|svg|emf|wmf)"
_PATH = re.compile(
    r"(?:(?:image|picture|file ?(?:name)?|path)\s*:\s*)?(?:!\[[^\]]*\]\()?"
    rf"(?:(?:file:|https?:|data:|[a-z]:[\\/]|~?/|\.{{1,2}}/)\S+|(?:[a-z]:[\\/]|~?/|\.{{1,2}}/)[^\n]+{_ENDING}"
    rf"|\S+{_ENDING})\)?",
    re.IGNORECASE,
)


def description_in(answer: str, *, cut: bool) -> str | None:
    """The description in an answer, at most MAX_CHARACTERS; None: there is none.

    Removes thinking. A text that was cut or is too long ends with its last complete sentence, line or word.
    None: an empty answer, a refusal, or a path instead of a description.
    """
    text = without_thinking(answer)
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    text = re.sub(r"\n{3,}", "\n\n", text)
    if cut or len(text) > MAX_CHARACTERS:
        text = _whole_sentences(text[:MAX_CHARACTERS])
    return text if _describes(text) else None


def _whole_sentences(text: str) -> str:
    ends = [match.end() for match in _END_OF_SENTENCE.finditer(text)]
    if not ends:  # the last word, or number, may be a part of one
        return text.rpartition(" ")[0].strip()
    return text[: ends[-1]].strip()


def _describes(text: str) -> bool:
    bare = text.strip(" \t\n.\"'`*<>[]()")
    if not any(character.isalnum() for character in bare) or bare.lower() in _NOTHING:
        return False
    if _REFUSED_AT_ONCE.match(text.lstrip("\"'`* ")) or _REFUSED_SOON.search(text[:_SOON]):
        return False
    return _PATH.fullmatch(text.strip(" \t\n\"'`*<>")) is None
