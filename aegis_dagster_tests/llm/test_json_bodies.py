"""Bodies of embeddings are read as any other JSON, only faster."""

import json

import pytest

from aegis_dagster.llm.json_bodies import Doubled, read_embeddings, read_json

BODIES = {
    "two": {"data": [{"embedding": [0.1, -2e-7], "index": 0}, {"embedding": [3, 4.0], "index": 1}], "usage": {"a": 1}},
    "none": {"data": []},
    "empty": {"data": [{"embedding": []}, {"embedding": [1.5]}]},
    "texts": {"data": [{"embedding": ["0.5", "]"]}, {"embedding": "AAAA"}]},
    "within another": {"data": [{"embedding": [[1.0], [2.0]]}, {"more": {"embedding": [1.0]}}]},
    "one beside the data": {"data": [{"embedding": [1.0]}], "embedding": [2.0]},
    "only beside the data": {"data": [{"embedding": []}], "meta": {"embedding": [2.0]}},
    "words like it": {"model": 'x"embedding": [1]', "data": [{"embedding": [1.0]}]},
    "large": {"data": [{"embedding": [10**15, 1e300]}]},
    "no object": [{"embedding": [1.0]}],
}


@pytest.mark.parametrize("name", list(BODIES))
@pytest.mark.parametrize("indent", [None, 2])
def test_an_embedding_is_read_as_json(name: str, indent: int | None) -> None:
    body = json.dumps(BODIES[name], indent=indent).encode()
    assert read_embeddings(body) == read_json(body) == BODIES[name]


def test_a_key_that_stands_there_twice_is_seen() -> None:
    body = b'{"data": [{"embedding": [1.0]}], "usage": {"prompt_tokens": 3, "prompt_tokens": 7}}'
    assert type(read_embeddings(body)["usage"]) is Doubled
    assert read_embeddings(body)["usage"]["prompt_tokens"] == 7
    twice = b'{"data": [{"embedding": [1.0], "embedding": [2.0]}]}'
    assert read_embeddings(twice) == read_json(twice)


@pytest.mark.parametrize(
    "broken", [b'{"data": [{"embedding": [1.0', b'{"data": [{"embedding": [1,,2]}]}', b"[" * 10**5]
)
def test_what_is_no_json_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError):
        read_embeddings(broken)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_only_python_reads_are_read(number: str) -> None:
    body = b'{"data": [{"embedding": [%b]}]}' % number.encode()
    assert repr(read_embeddings(body)) == repr(read_json(body))
