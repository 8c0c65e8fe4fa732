"""Names of collections in the settings, compared with the names of folders.

A policy that misses its folder by a letter would protect nothing and look as if it did. So a folder whose name is
nearly that of a policy is neither protected nor open: nothing is done until somebody writes the right name.
"""

import json
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from aegis_dagster.errors import ConfigurationError

# Letters of Greek and Cyrillic that look like Latin ones, as small letters.
_LIKE_LATIN = str.maketrans("аеіјорсԁԛѕухԝһкмтвнαεικνορτυχ", "aeijopcdqsyxwhkmtbhaeiknoptux")


@lru_cache(maxsize=10_000)
def folded(name: str) -> str:
    """What people would call the same name: no case, Unicode form, white space, invisible or look-alike letters."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    kept = "".join(each for each in text if not each.isspace() and unicodedata.category(each)[0] != "C")
    return kept.strip("/\\.'\"").translate(_LIKE_LATIN)


def require_exact(collection: str, named: Iterable[str], *, setting: str) -> None:
    """Raises ConfigurationError if one of the names is nearly the collection's, and none is exactly it.

    setting: where the names stand.
    """
    names = tuple(named)
    if not names or collection in names:
        return
    near = next((name for name in names if folded(name) == folded(collection)), None)
    if near is not None:
        raise ConfigurationError(
            f"`{setting}` names {as_written(near)}, but the folder is named {as_written(collection)}: "
            "nobody can tell whether it is meant.",
            remedy=f"write {as_written(collection)} in `{setting}`, exactly like the folder, or rename the folder; "
            "until then its documents are neither shown nor sent anywhere.",
        )


def as_written(name: str) -> str:
    """A name as it can be copied into aegis.yaml: quoted, with escapes, where its letters do not show what it is."""
    plain = name.isprintable() and name == name.strip() and unicodedata.is_normalized("NFKC", name)
    small = name.casefold()
    return name if plain and small.translate(_LIKE_LATIN) == small else json.dumps(name)
