"""What the statistical extractor finds in passages of every kind, and how fast."""

import asyncio
import re
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_dagster.domain.aggregation import entity_key
from aegis_dagster.domain.evidence import ChunkEvidence
from aegis_dagster.domain.llm import AskedFor
from aegis_dagster.extraction.statistical import StatisticalExtractor
from aegis_dagster_tests.support.places import CORPORA
from aegis_dagster_tests.support.redocred import corpus, require

EXTRACTOR = StatisticalExtractor(max_entities=10, max_relations=15)
CHUNK_WORDS = 180  # about 240 tokens of the embedding model


def found(text: str) -> dict[str, str]:
    """Type by name."""
    return {mention.name: mention.type for mention in EXTRACTOR.find(text).mentions}


def test_names_acronyms_identifiers_and_phrases_are_told_apart() -> None:
    text = (
        "The steering council asked Guido van Rossum whether the GIL may go. "
        "He pointed at PEP 703 and at sys.getswitchinterval, which the release schedule of CPython has."
    )

    assert found(text) == {
        "Guido van Rossum": "name",
        "PEP 703": "name",
        "CPython": "name",
        "GIL": "acronym",
        "sys.getswitchinterval": "identifier",
        "steering council": "phrase",
        "release schedule": "phrase",
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("He studied at the University of Ghent for years.", "University of Ghent"),
        ("It was built in New York by them.", "New York"),
        ("New York is big.", "New York"),
        ("Author: Guido van Rossum", "Guido van Rossum"),
        ("It was led by Vice Admiral Robert L. Ghormley until then.", "Vice Admiral Robert L. Ghormley"),
        ("They met W. E. B. Du Bois there.", "W. E. B. Du Bois"),
        ("The plan of AT&T failed.", "AT&T"),
        ("It belongs to Python's standard library.", "Python"),
        ("All the APIs of it are gone.", "API"),
        ("Then :func:`functools.cache` is called.", "functools.cache"),
        ("Then ``__annotate__`` is called.", "__annotate__"),
        ("See :pep:`649` for more.", "PEP 649"),
        ("See `the typing module <https://docs.python.org/3/library/typing.html>`__ there.", "typing module"),
        ("See [the Typing Council](https://example.org/x_y) there.", "Typing Council"),
        ("It has many type variables and dependencies.", "type variable"),
    ],
)
def test_a_name_is_found_as_a_reader_would_write_it(text: str, name: str) -> None:
    assert name in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\n\t",
        "12 345,67 2024-06-01 99.9 %",
        "It is what it was, and so they did.",
        "==========\n---- ----\n**********",
        "https://mail.python.org/archives/list/x me@example.org",
        "However, this MUST NOT be done. It SHOULD.",
        "In March and on Monday they went.",
        "e.g. i.e. etc.",
    ],
)
def test_what_names_nothing_gives_nothing(text: str) -> None:
    assert EXTRACTOR.find(text) == ChunkEvidence()


def test_a_heading_gives_phrases_and_names_only_what_the_text_names() -> None:
    text = "Backwards Compatibility\nTyping Council Mandate\nThe mandate of the Typing Council ends."

    assert found(text) == {
        "Typing Council": "name",
        "backwards compatibility": "phrase",
    }


def test_a_capital_at_the_beginning_of_a_sentence_makes_no_name_by_itself() -> None:
    assert "Annotations" not in found("Annotations are lazy. Annotations are cached.")
    assert found("Ghana won. Nobody was in Ghana.") == {"Ghana": "name"}


def test_the_rows_of_a_markdown_table_relate_what_stands_in_them() -> None:
    text = (
        "| Country | Capital city | Population |\n"
        "|---------|--------------|-----------:|\n"
        "| Ghana | Accra | 33,475,870 |\n"
        "| Costa Rica | San José | 5,212,173 |"
    )
    evidence = EXTRACTOR.find(text)

    assert {"Ghana", "Accra", "Costa Rica", "San José", "capital city"} == {one.name for one in evidence.mentions}
    weights = {(one.source, one.target): one.weight for one in evidence.relations}
    assert weights["Accra", "Ghana"] == weights["Costa Rica", "San José"] == 1.0
    assert weights["Accra", "San José"] == 0.5


def test_code_gives_identifiers_and_no_punctuation() -> None:
    text = "```\ndef load(path):\n    return json.loads(path.read_text())\n```\n>>> os.path.join('a', 'b')"

    assert set(found(text)) == {"json.loads", "path.read_text", "os.path.join"}


def test_entities_of_one_sentence_are_related_by_weight_and_without_direction() -> None:
    text = "Ada Lovelace met Charles Babbage. Ada Lovelace wrote to Charles Babbage. Then came Alan Turing."
    first, *others = EXTRACTOR.find(text).relations

    assert (first.source, first.target) == ("Ada Lovelace", "Charles Babbage")
    assert first.weight == 3.0  # two sentences, and one beside the other in both directions
    assert {(one.source, one.target, one.weight) for one in others} == {
        ("Ada Lovelace", "Alan Turing", 0.5),
        ("Alan Turing", "Charles Babbage", 0.5),
    }


def test_the_limits_hold_and_are_part_of_the_extractors_name() -> None:
    small = StatisticalExtractor(max_entities=3, max_relations=2)
    text = " ".join(f"Then Person{letter} Family{letter} met us." for letter in "ABCDEFGH")
    evidence = small.find(text)

    assert (len(evidence.mentions), len(evidence.relations)) == (3, 2)
    assert small.name != EXTRACTOR.name
    assert StatisticalExtractor(max_entities=3, max_relations=0).find(text).relations == ()


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec=None), max_size=400))
def test_any_text_gives_evidence_that_keeps_the_contract(text: str) -> None:
    evidence = EXTRACTOR.find(text)
    keys = [entity_key(mention.name) for mention in evidence.mentions]

    assert len(set(keys)) == len(keys) <= 10
    assert all(keys)
    assert {entity_key(end) for one in evidence.relations for end in (one.source, one.target)} <= set(keys)


@pytest.mark.parametrize(
    "text", ["a" * 50_000, "A_" * 20_000, "| " * 20_000, "`" * 20_000, "a.b" * 15_000, "Ab " * 15_000]
)
def test_a_hostile_text_is_read_to_its_end(text: str) -> None:
    assert EXTRACTOR.find(text * 20) is not None  # what looks at it again from every place takes hours


def pep_chunks(number_of_peps: int) -> list[str]:
    """Paragraphs of the PEPs joined to about 240 tokens."""
    chunks: list[str] = []
    with tarfile.open(require(CORPORA / "peps" / "2025-06-01.tar.gz")) as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".txt"))
        for name in names[:: max(1, len(names) // number_of_peps)]:
            member = archive.extractfile(name)
            assert member is not None
            chunk = ""
            for paragraph in member.read().decode("utf-8").split("\n\n"):
                if chunk and len(f"{chunk} {paragraph}".split()) > CHUNK_WORDS:
                    chunks.append(chunk)
                    chunk = ""
                chunk = f"{chunk}\n\n{paragraph}"
    return chunks


def test_every_name_in_the_peps_is_clean() -> None:
    chunks = pep_chunks(30)
    evidence = [EXTRACTOR.find(chunk) for chunk in chunks]
    names = {mention.name for one in evidence for mention in one.mentions}

    assert not [name for name in names if re.search(r"[`|<>{}\[\]()=;\"\n]|\s\s|::", name)]
    assert not [name for name in names if not re.search(r"[^\W\d_]", name)]
    assert not [name for name in names if len(name.split()) > 6]
    assert sum(1 for one in evidence if len(one.mentions) >= 3) > 0.9 * len(chunks)


async def test_extracting_again_gives_the_same() -> None:
    chunks = pep_chunks(3)
    first = [await EXTRACTOR.extract(chunk, AskedFor()) for chunk in chunks]

    assert [await StatisticalExtractor(10, 15).extract(chunk, AskedFor()) for chunk in reversed(chunks)] == first[::-1]


def test_most_of_what_is_named_in_redocred_is_an_entity_of_the_gold_standard() -> None:
    """Gold names are often longer or shorter by a title or an article: half of each must be in the other."""
    documents, gold = corpus()
    right = total = 0
    for document in documents[:100]:
        for text in document.texts:
            evidence = asyncio.run(gold.extract(text, AskedFor())).evidence
            known = [entity_key(mention.name) for mention in evidence.mentions]
            body = text.split("\n", 1)[1]
            for name in (entity_key(one.name) for one in EXTRACTOR.find(body).mentions if one.type == "name"):
                total += 1
                right += any(name in other or other in name for other in known if len(other) > 2)
    print(f"{right} of {total} names")

    assert right / total > 0.8
