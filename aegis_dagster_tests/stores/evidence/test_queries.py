"""Reading the graph, proving it, and the cache of extractions."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Engine
from sqlalchemy.schema import CreateTable

from aegis_dagster.domain.evidence import ChunkEvidence, DocumentEvidence, GraphSize, Mention, RelationEvidence
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.errors import UnknownDocument
from aegis_dagster.stores.caches import ExtractionCache
from aegis_dagster.stores.evidence import schema as evidence_schema
from aegis_dagster.stores.evidence.outbox import EvidenceOutbox
from aegis_dagster.stores.evidence.queries import EvidenceQueries, Passage
from aegis_dagster.stores.evidence.store import EvidenceStore

PEPS = DocumentId("peps/pep-0008.txt")
HISTORY = DocumentId("history.md")


@pytest.fixture
def store(engine: Engine) -> EvidenceStore:
    """Guido is mentioned in three chunks of two documents, and related most of all to Python."""
    store = EvidenceStore(engine)
    guido, python, abc = (
        Mention("Guido van Rossum", "person"),
        Mention("Python", "language"),
        Mention("ABC", "language"),
    )
    made = RelationEvidence("Guido van Rossum", "Python", "author", "He made it.", 2.0)
    knew = RelationEvidence("ABC", "Guido van Rossum", "experience", "", 1.5)
    history = [
        (ChunkId("h1"), ChunkEvidence((guido, python), (made,))),
        (ChunkId("h2"), ChunkEvidence((guido, abc), (knew,))),
        (ChunkId("h3"), ChunkEvidence()),
    ]
    peps = [(ChunkId("p1"), ChunkEvidence((guido, python), (made,)))]
    store.replace_documents([DocumentEvidence(PEPS, "1", peps), DocumentEvidence(HISTORY, "1", history)])
    return store


@pytest.fixture
def queries(store: EvidenceStore, engine: Engine) -> EvidenceQueries:
    return EvidenceQueries(engine)


def test_an_entity_is_found_however_it_is_written(queries: EvidenceQueries) -> None:
    entity = queries.find_entity("  GUIDO van   rossum")

    assert (entity.name, entity.type) == ("Guido van Rossum", "person")
    assert (entity.chunk_count, entity.document_count) == (3, 2)


def test_a_misspelt_name_is_answered_with_similar_ones(queries: EvidenceQueries) -> None:
    with pytest.raises(UnknownDocument, match=r"did you mean Guido van Rossum\?"):
        queries.find_entity("Guido van Rosum")
    with pytest.raises(UnknownDocument, match=r"did you mean Python\?"):
        queries.find_entity("pythn")
    with pytest.raises(UnknownDocument, match="ingest documents that mention it"):
        queries.find_entity("pyton")


def test_a_name_like_nothing_else_is_answered_plainly(queries: EvidenceQueries) -> None:
    with pytest.raises(UnknownDocument, match="ingest documents that mention it"):
        queries.find_entity("%")
    with pytest.raises(UnknownDocument):
        queries.find_entity("")


def test_neighbours_stand_by_weight_with_their_relation(queries: EvidenceQueries) -> None:
    first, second = queries.neighbours(queries.find_entity("guido van rossum"), 10)

    assert (first.entity.name, first.relation.weight_milli, first.outgoing) == ("Python", 4_000, True)
    assert (second.entity.name, second.relation.keywords, second.outgoing) == ("ABC", "experience", False)
    assert queries.neighbours(queries.find_entity("guido van rossum"), 1) == (first,)


def test_passages_name_document_and_chunk(queries: EvidenceQueries) -> None:
    assert queries.passages(queries.find_entity("Python"), 10) == (
        Passage(HISTORY, ChunkId("h1")),
        Passage(PEPS, ChunkId("p1")),
    )


def test_each_text_of_a_description_names_its_first_passage_and_how_many_say_it(
    store: EvidenceStore, queries: EvidenceQueries
) -> None:
    he_made_it, only_peps = "He made it.", "He wrote PEP 8."
    guido = Mention("Guido van Rossum", "person", only_peps)
    store.replace_documents([DocumentEvidence(PEPS, "2", [(ChunkId("p1"), ChunkEvidence((guido,)))])])
    entity = queries.find_entity("guido van rossum")
    assert [(each.text, each.passage) for each in queries.sources(entity)] == [
        (only_peps, Passage(PEPS, ChunkId("p1")))
    ]
    near = queries.neighbours(entity, 10)
    said = queries.sources_of_relations(near)
    assert [[(each.text, each.passage, each.documents) for each in said[one.relation.key]] for one in near] == [
        [(he_made_it, Passage(HISTORY, ChunkId("h1")), 1)],
        [],
    ]
    assert entity.description == "\n".join(each.text for each in queries.sources(entity))


def test_what_an_older_version_cut_otherwise_is_aggregated_again_with_the_next_write(
    store: EvidenceStore, queries: EvidenceQueries, engine: Engine
) -> None:
    before = store.digest()
    with engine.begin() as connection:  # as the migration leaves a long description
        connection.execute(
            sa.text("UPDATE entities SET description = 'cut otherwise', hash = 'outdated' WHERE key = 'python'")
        )
    assert store.verify() == []
    assert queries.find_entity("Python").description == "cut otherwise"
    EvidenceStore(engine).replace_documents([])
    assert store.digest() == before
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM entities WHERE hash = 'outdated'")).scalar() == 0


def test_the_biggest_entities_come_first(queries: EvidenceQueries) -> None:
    assert [one.name for one in queries.biggest_entities(2)] == ["Guido van Rossum", "Python"]


def test_chunks_that_say_nothing_are_counted_too(store: EvidenceStore) -> None:
    store.replace_documents([DocumentEvidence(DocumentId("empty.txt"), "1", [])])

    assert store.chunk_counts_by_document() == {HISTORY: 3, PEPS: 1, DocumentId("empty.txt"): 0}


def test_an_entity_that_a_view_may_hold_is_gone_for_readers_and_counts_at_once(
    store: EvidenceStore, queries: EvidenceQueries, engine: Engine
) -> None:
    outbox = EvidenceOutbox(engine)
    outbox.mark_published(outbox.pending_publications(100))
    store.delete_documents([HISTORY])
    clean = store.digest()

    with pytest.raises(UnknownDocument):
        queries.find_entity("ABC")
    assert [one.entity.name for one in queries.neighbours(queries.find_entity("guido van rossum"), 9)] == ["Python"]
    assert queries.size() == GraphSize(2, 1)
    publication = outbox.pending_publications(100)
    assert publication.deleted_entities == ("abc",)
    assert publication.deleted_relations == (("abc", "guido van rossum"),)
    outbox.mark_published(publication)
    assert not outbox.pending_publications(100)
    assert store.digest() == clean


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE entities SET chunk_count = 7 WHERE key = 'abc'", "entities 'abc' does not stand on the chunks"),
        ("UPDATE relations SET sources = 7", "does not stand on the chunks"),
        ("DELETE FROM entities WHERE key = 'abc'", "entities lacks 'abc'"),
        ("UPDATE entities SET hash = '' WHERE key = 'abc'", "entities lacks 'abc'"),
        ("DELETE FROM entity_mentions WHERE key = 'abc'", "entities 'abc' does not stand on the chunks"),
        ("DELETE FROM entity_mentions WHERE chunk_id = 'h1'", "entities 'python' does not stand on the chunks"),
    ],
)
def test_a_quick_look_finds_evidence_and_graph_apart(
    store: EvidenceStore, engine: Engine, damage: str, complaint: str
) -> None:
    assert store.verify(deep=False) == []
    with engine.begin() as connection:
        connection.execute(sa.text(damage))

    assert any(complaint in mismatch for mismatch in store.verify(deep=False))
    assert any(complaint in mismatch for mismatch in store.verify())


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("UPDATE entities SET document_count = 7 WHERE key = 'abc'", "entities 'abc': document_count not as"),
        ("UPDATE entities SET name = 'x' WHERE key = 'abc'", "entities 'abc': name not as"),
        ("UPDATE relations SET weight_milli = 1", "weight_milli not as"),
        ("UPDATE entity_mentions SET description = 'x'", "does not hold the records"),
        ("DELETE FROM relation_evidence WHERE chunk_id = 'h1'", "Chunk h1 of 'history.md' does not hold"),
        ("DELETE FROM evidence_chunks WHERE chunk_id = 'h2'", "names the unknown chunk h2"),
    ],
)
def test_a_deep_look_compares_every_text(store: EvidenceStore, engine: Engine, damage: str, complaint: str) -> None:
    assert store.verify() == []
    with engine.begin() as connection:
        connection.execute(sa.text(damage))

    assert any(complaint in mismatch for mismatch in store.verify())


def test_the_cache_answers_for_the_extractor_and_text_that_filled_it(engine: Engine) -> None:
    cache = ExtractionCache(engine)
    said = ChunkEvidence((Mention("A", "x", "\ud800 é"),), (RelationEvidence("A", "B", "k", "d", 0.1),))
    cache.put("one", {"h1": said, "h2": ChunkEvidence()})
    cache.put("one", {"h2": said})

    assert cache.get(["one"], ["h1", "h2", "h3"]) == {"h1": said, "h2": ChunkEvidence()}
    assert cache.get(["two"], ["h1"]) == {}
    cache.put("two", {"h1": ChunkEvidence()})
    assert cache.get(["two", "one"], ["h1", "h2"]) == {"h1": ChunkEvidence(), "h2": ChunkEvidence()}
    assert cache.get(["one", "two"], ["h1"]) == {"h1": said}


def test_the_tables_can_be_made_on_postgres() -> None:
    tables = [evidence_schema.entities, evidence_schema.relations, evidence_schema.entity_mentions]
    dialect = registry.load("postgresql")()
    made = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in tables)

    assert 'key TEXT COLLATE "C" NOT NULL' in made
    assert "WITHOUT ROWID" not in made


def test_the_outbox_has_an_index_of_what_waits_alone(engine: Engine) -> None:
    on_sqlite, on_server = "sql FROM sqlite_master WHERE name", "indexdef FROM pg_indexes WHERE indexname"
    of_indexes = on_sqlite if engine.dialect.name == "sqlite" else on_server
    with engine.connect() as connection:
        made = connection.execute(sa.text(f"SELECT {of_indexes} LIKE 'ix_%_outbox'")).scalars().all()

    assert len(made) == 2
    assert all("published_hash" in sql.partition("WHERE")[2] for sql in made)
