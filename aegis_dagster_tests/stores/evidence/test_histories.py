"""Random histories over a small world: documents come, change and go, a publisher is killed now and then.

After every step the graph is what a plain loop computes; at the end the view holds exactly that graph.
"""

import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy.engine import Engine

from aegis_dagster.domain.evidence import ChunkEvidence, DocumentEvidence, Mention, RelationEvidence
from aegis_dagster.domain.identifiers import ChunkId, DocumentId
from aegis_dagster.stores.database import metadata, open_database, write
from aegis_dagster.stores.evidence.outbox import EvidenceOutbox, Publication
from aegis_dagster.stores.evidence.store import EvidenceStore
from aegis_dagster_tests.support.naive_evidence import expected_graph, stored_graph

NAMES = st.sampled_from(["Guido", "guido", "ＧＵＩＤＯ", "GIL", "Gil", "PEP 8", "Straße", "strasse"])
TEXTS = st.sampled_from(["", "one", "two", "three"])
MENTIONS = st.builds(Mention, NAMES, st.sampled_from(["name", "acronym"]), TEXTS)
WEIGHTS = st.sampled_from([0.1, 0.2, 0.3, 1.0])
RELATIONS = st.builds(RelationEvidence, NAMES, NAMES, TEXTS, TEXTS, WEIGHTS)
CHUNKS = st.lists(st.tuples(st.lists(MENTIONS, max_size=3), st.lists(RELATIONS, max_size=2)), max_size=2)
DOCUMENTS = st.sampled_from(["a.txt", "b.txt", "c.txt"])

_folder = tempfile.TemporaryDirectory()


@cache
def shared_engine() -> Engine:
    """One database for all examples; each begins with empty tables."""
    return open_database(f"sqlite:///{Path(_folder.name) / 'histories.db'}")


def document(name: str, chunks: list[tuple[list[Mention], list[RelationEvidence]]]) -> DocumentEvidence:
    """Every end of a relation is mentioned, as the contract of evidence asks."""
    found = []
    for number, (mentions, relations) in enumerate(chunks):
        ends = [Mention(end, "name") for one in relations for end in (one.source, one.target)]
        found.append((ChunkId(f"{name}#{number}"), ChunkEvidence((*mentions, *ends), tuple(relations))))
    return DocumentEvidence(DocumentId(name), "1", found)


class Histories(RuleBasedStateMachine):
    """The store beside a dictionary, the view beside the outbox."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = shared_engine()
        with write(self.engine) as connection:
            for table in metadata.sorted_tables:
                connection.execute(sa.delete(table))
        self.store = EvidenceStore(self.engine)
        self.outbox = EvidenceOutbox(self.engine)
        self.now: dict[str, DocumentEvidence] = {}
        self.view: dict[str, str] = {}

    @rule(name=DOCUMENTS, chunks=CHUNKS)
    def write_one(self, name: str, chunks: list[tuple[list[Mention], list[RelationEvidence]]]) -> None:
        self.now[name] = document(name, chunks)
        self.store.replace_documents([self.now[name]])

    @rule(first=CHUNKS, second=CHUNKS)
    def write_two_together(
        self,
        first: list[tuple[list[Mention], list[RelationEvidence]]],
        second: list[tuple[list[Mention], list[RelationEvidence]]],
    ) -> None:
        self.now |= {"a.txt": document("a.txt", first), "b.txt": document("b.txt", second)}
        self.store.replace_documents([self.now["a.txt"], self.now["b.txt"]])

    @precondition(lambda self: self.now)
    @rule(name=DOCUMENTS)
    def delete_one(self, name: str) -> None:
        self.now.pop(name, None)
        self.store.delete_documents([DocumentId(name)])

    @rule(limit=st.integers(1, 5), done=st.integers(0, 5))
    def publisher_is_killed(self, limit: int, done: int) -> None:
        """It took changes, wrote some of them to the view, and confirmed none."""
        self.apply(self.outbox.pending_publications(limit), done)

    @rule(limit=st.integers(1, 5))
    def publish(self, limit: int) -> None:
        publication = self.outbox.pending_publications(limit)
        self.apply(publication, limit)
        self.outbox.mark_published(publication)

    @rule(name=DOCUMENTS, chunks=CHUNKS)
    def document_changes_while_a_publisher_works(
        self, name: str, chunks: list[tuple[list[Mention], list[RelationEvidence]]]
    ) -> None:
        publication = self.outbox.pending_publications(5)
        self.write_one(name, chunks)
        self.apply(publication, 5)
        self.outbox.mark_published(publication)

    @invariant()
    def the_graph_is_what_a_plain_loop_computes(self) -> None:
        assert stored_graph(self.engine) == expected_graph(self.now.values())

    def teardown(self) -> None:
        assert self.store.verify() == []
        while publication := self.outbox.pending_publications(3):
            self.apply(publication, 3)
            self.outbox.mark_published(publication)
        entities, relations = expected_graph(self.now.values())
        assert set(self.view) == set(entities) | set(relations)
        with self.engine.connect() as connection:
            for table in ("entities", "relations"):
                for key, name in connection.execute(sa.text(f"SELECT key, hash FROM {table}")):
                    assert self.view[key] == name
        super().teardown()

    def apply(self, publication: Publication, done: int) -> None:
        """Write the first `done` changes to the view, each idempotent."""
        changes: list[tuple[str, str | None]] = [(one.key, one.content_hash()) for one in publication.entities]
        changes += [(one.key, one.content_hash()) for one in publication.relations]
        changes += [("\x1f".join(pair), None) for pair in publication.deleted_relations]
        changes += [(key, None) for key in publication.deleted_entities]
        for key, value in changes[:done]:
            if value is None:
                self.view.pop(key, None)
            else:
                self.view[key] = value


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=20,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
