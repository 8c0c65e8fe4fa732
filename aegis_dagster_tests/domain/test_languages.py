"""When most passages are in a language that the model does not understand."""

import pytest

from aegis_dagster.domain.languages import mostly_foreign


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        ([], None),
        ([{}], None),  # chunked before languages were counted, or nothing but numbers
        ([{"en": 5}, {"de": 5}], None),  # half is not most
        ([{"en": 5}, {"de": 4, "fr": 2}], ("de", 6 / 11)),
        ([{"fr": 1}, {"de": 1}], ("de", 1.0)),
    ],
)
def test_the_most_frequent_foreign_language(documents: list[dict[str, int]], found: tuple[str, float] | None) -> None:
    assert mostly_foreign([{"languages": one} if one else {} for one in documents], frozenset({"en"})) == found
