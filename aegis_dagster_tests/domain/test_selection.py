"""Which documents ids and patterns choose."""

import glob

import pytest

from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.selection import Selection, near

IDS = [DocumentId(name) for name in ("c/a.txt", "c/sub/b.TXT", "c/sub/deep/[1] r.pdf", "c/sub/deep/1 r.pdf", "top.md")]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ([], IDS),
        (["c/a.txt"], ["c/a.txt"]),
        (["*.txt"], ["c/a.txt", "c/sub/b.TXT"]),  # at any depth; case does not matter
        (["A.TXT", "top.md"], ["c/a.txt", "top.md"]),
        (["c/*"], ["c/a.txt"]),
        (["c/**"], IDS[:4]),
        (["c/sub/"], IDS[1:4]),
        (["**/b.txt"], ["c/sub/b.TXT"]),
        (["c/**/b.txt"], ["c/sub/b.TXT"]),
        (["c/**/a.txt"], ["c/a.txt"]),
        (["t?p.md", "?.md"], ["top.md"]),
        (["[!a].txt"], ["c/sub/b.TXT"]),
        (["[ab].txt"], ["c/a.txt", "c/sub/b.TXT"]),
        (["c/sub/deep/[1] r.pdf"], ["c/sub/deep/[1] r.pdf"]),  # an id stands for itself
        ([glob.escape("c/sub/deep/[1]") + " *"], ["c/sub/deep/[1] r.pdf"]),
        (["c/sub/deep/[12] r.pdf"], ["c/sub/deep/1 r.pdf"]),
        (["c/A.txt", "[", "[z-a]", "a]b", "(.*)", ".*"], []),  # an id has its case; what is no pattern is no error
    ],
)
def test_what_is_chosen(wanted: list[str], chosen: list[str]) -> None:
    assert Selection(tuple(wanted)).choose(IDS) == set(chosen)


@pytest.mark.parametrize("stored", ["c/Gru\u0308n Übersicht.txt", "c/Grün U\u0308bersicht.txt"])
@pytest.mark.parametrize(
    "typed",
    ["c/Grün Übersicht.txt", "c/Gru\u0308n U\u0308bersicht.txt", "GRÜN *.txt", "c/Gru\u0308?*", "Grün Übersicht.txt"],
)
def test_accents_match_however_they_are_stored(stored: str, typed: str) -> None:
    ids = [*IDS, DocumentId(stored)]
    assert Selection((typed,)).choose(ids) == {stored}
    assert Selection((typed,)).without_match(ids) == []
    assert near(typed.replace(".txt", ".tx"), ids)[:1] in ([stored], [])


def test_of_two_names_that_look_alike_the_exact_one_is_meant() -> None:
    both = [DocumentId("c/ü.txt"), DocumentId("c/u\u0308.txt")]
    assert Selection(("c/ü.txt",)).choose(both) == {"c/ü.txt"}


def test_what_matches_nothing_is_named_in_order_and_the_rest_counts() -> None:
    selection = Selection(("c/a.txt", "nothing*", "c/sub/", "c/b.txt", "top.md"))
    assert selection.without_match(IDS) == ["nothing*", "c/b.txt"]
    assert Selection().without_match([]) == []


@pytest.mark.parametrize(
    ("typed", "first"), [("c/A.txt", "c/a.txt"), ("b.txt", "c/sub/b.TXT"), ("c/a.tx", "c/a.txt"), ("topp.md", "top.md")]
)
def test_what_somebody_may_have_meant(typed: str, first: str) -> None:
    assert near(typed, IDS)[0] == first


def test_nothing_is_suggested_for_what_is_like_nothing_and_never_many() -> None:
    assert near("zzzzzzzz", IDS) == []
    assert len(near("a.txt", [DocumentId(f"{number}/a.txt") for number in range(9)])) == 5
