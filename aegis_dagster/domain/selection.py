"""Selects documents by their ids or by patterns."""

import difflib
import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from aegis_dagster.domain.identifiers import DocumentId, composed

_SUGGESTIONS = 5
_COMPARED = 2_000  # ids compared by spelling, about 30 ms


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids and patterns. An existing id matches itself, even if it looks like a pattern.

    In a pattern `*` and `?` match within a folder, `**` crosses folders, `[ab]` is one of these characters, and case
    is ignored. A pattern without a slash matches at any depth: `*.pdf`, `lease.pdf`. A pattern that ends with a slash
    matches everything below it: `handbook/`. How accents are stored (NFC, NFD) makes no difference.
    """

    wanted: tuple[str, ...] = ()  # empty: everything

    def choose(self, ids: Collection[DocumentId]) -> set[DocumentId]:
        """The selected ids."""
        known = set(ids)
        if not self.wanted:
            return known
        named = _named(self.wanted, known)
        patterns = [_compiled(one) for one in dict.fromkeys(self.wanted) if one not in known and _is_pattern(one)]
        return named | {one for one in known if any(pattern.fullmatch(composed(one)) for pattern in patterns)}

    def without_match(self, ids: Collection[DocumentId]) -> list[str]:
        """The ids and patterns that match nothing, in the order given."""
        known = set(ids)
        return [one for one in self.wanted if not _named([one], known) and not _matches_any(one, ids)]


def near(wanted: str, ids: Sequence[DocumentId]) -> list[DocumentId]:
    """At most five ids that may have been meant: the same name in another folder, or a similar spelling."""
    name = composed(wanted).rsplit("/", 1)[-1].casefold()
    same = [one for one in ids if composed(one).rsplit("/", 1)[-1].casefold() == name]
    names = {one.casefold(): one for one in ids[:_COMPARED]}
    similar = difflib.get_close_matches(wanted.casefold(), list(names), n=_SUGGESTIONS)
    found = dict.fromkeys([*same[:_SUGGESTIONS], *(names[one] for one in similar)])
    return list(found)[:_SUGGESTIONS]


def _named(wanted: Iterable[str], known: Collection[DocumentId]) -> set[DocumentId]:
    """The ids that are wanted: as they are written, else in either form of their accents."""
    named = {DocumentId(one) for one in wanted if one in known}
    if others := {composed(one) for one in wanted if one not in known and not one.isascii()}:
        named.update(one for one in known if composed(one) in others)
    return named


def _is_pattern(wanted: str) -> bool:
    return bool(set(wanted) & set("*?[")) or "/" not in wanted or wanted.endswith("/")


def _matches_any(wanted: str, ids: Iterable[DocumentId]) -> bool:
    return _is_pattern(wanted) and any(_compiled(wanted).fullmatch(composed(one)) for one in ids)


def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = composed(pattern)
    if pattern.endswith("/"):
        pattern += "**"
    elif "/" not in pattern:
        pattern = f"**/{pattern}"
    tokens = re.findall(r"\*\*/|\*\*|\[!?\]?[^\]]*\]|.", pattern, flags=re.DOTALL)
    return re.compile("".join(map(_translated, tokens)), re.IGNORECASE | re.DOTALL)


def _translated(token: str) -> str:
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if len(token) > 1:  # a class: the standard library handles its edge cases, and wraps it in "(?s:" and an end
        return fnmatch.translate(token).removeprefix("(?s:").removesuffix(")\\Z")
    return re.escape(token)
