"""Documents attached to mails go through the stages like files, and change, move and go with their mail."""

from email.message import EmailMessage
from pathlib import Path

import pytest

from aegis_dagster.chunking.tasks import chunk_task
from aegis_dagster.composition.project import Project
from aegis_dagster.digests import digests
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.stages import Stage, Status
from aegis_dagster.errors import FailureCode
from aegis_dagster.planning.plan import look
from aegis_dagster.settings.stages import ListingSettings, MailSettings
from aegis_dagster.stages.chunk import read_chunks
from aegis_dagster.stages.sync import update_listing
from aegis_dagster_tests.support.chunked_documents import token_counter, tokenizer_file
from aegis_dagster_tests.support.projects import bring_up, make_project, recorded, scan, work_of

TEXT = b"The harbour crane of Eastmere was inspected by Priya Raman.\n"


def write_mail(project: Project, name: str, subject: str, **files: bytes) -> Path:
    made = EmailMessage()
    made["Subject"] = subject
    made.set_content("See the files.")
    for stem, data in files.items():
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=stem.replace("_", "."))
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(made.as_bytes())
    return path


def headings(project: Project, name: str) -> set[tuple[str, ...]]:
    state = project.states.one(project.documents.get([DocumentId(name)])[0])
    folder = project.artifacts.path(Stage.CHUNK, state.wanted[Stage.CHUNK])
    return {chunk.headings for chunk in read_chunks(folder)}


def found(project: Project, question: str) -> list[str]:
    return [hit.document_id for hit in project.vectors.search(question, None, limit=9, mode="sparse")]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


async def test_an_attached_document_is_found_with_its_mails_subject_and_fails_on_its_own(project: Project) -> None:
    write_mail(project, "inbox/m.eml", "Re: Offer 4711", crane_txt=TEXT, bad_pdf=b"%PDF-1.7 cut")
    await bring_up(project)
    states = recorded(project)
    assert states[DocumentId("inbox/m.eml")][Stage.CHUNK].status is Status.DONE
    failure = states[DocumentId("inbox/m.eml/bad.pdf")][Stage.PARSE].failure
    assert failure is not None and failure.code is FailureCode.TRUNCATED_FILE and failure.remedy
    assert headings(project, "inbox/m.eml/crane.txt") == {("Re: Offer 4711",)}
    assert found(project, "4711 crane")[0] == "inbox/m.eml/crane.txt"
    again = await bring_up(project)
    assert work_of(again) == {}
    assert {document.collection for document in project.documents.all()} == {"inbox"}


async def test_equal_files_in_two_mails_are_parsed_once_and_have_the_headings_of_their_mails(project: Project) -> None:
    write_mail(project, "a.eml", "One", crane_txt=TEXT)
    write_mail(project, "b.eml", "Two", crane_txt=TEXT)
    (project.root / "crane.txt").write_bytes(TEXT)
    work = work_of(await bring_up(project))
    assert (work["parsed"], work["chunked"]) == (3, 5)  # two mails and one text; the text under three headings
    assert headings(project, "a.eml/crane.txt") == {("One",)} and headings(project, "crane.txt") == {()}


async def test_a_new_subject_changes_the_chunks_but_not_the_parsed_document(project: Project) -> None:
    write_mail(project, "a.eml", "One", crane_txt=TEXT)
    await bring_up(project)
    write_mail(project, "a.eml", "Two", crane_txt=TEXT)
    work = work_of(await bring_up(project))
    assert (work["parsed"], work["chunked"]) == (1, 2)
    assert headings(project, "a.eml/crane.txt") == {("Two",)}


async def test_a_moved_mail_takes_its_documents_along_and_a_deleted_one_leaves_nothing(
    project: Project, tmp_path: Path
) -> None:
    path = write_mail(project, "a.eml", "One", crane_txt=TEXT)
    (project.root / "other.txt").write_bytes(b"Something else.\n")
    await bring_up(project)
    path.rename(project.root / "b.eml")
    assert not {"parsed", "chunked"} & work_of(await bring_up(project)).keys()
    assert found(project, "Eastmere inspected") == ["b.eml/crane.txt"]
    (project.root / "b.eml").unlink()
    await bring_up(project)
    assert found(project, "Eastmere inspected") == [] and [each.id for each in project.documents.all()] == ["other.txt"]
    fresh = make_project(tmp_path / "fresh")
    (fresh.root / "other.txt").write_bytes(b"Something else.\n")
    await bring_up(fresh)
    assert digests(fresh) == digests(project)


async def test_limits_in_the_settings_decide_what_becomes_a_document(tmp_path: Path) -> None:
    limited = make_project(tmp_path, mail=MailSettings(max_documents=1))
    write_mail(limited, "a.eml", "One", a_txt=TEXT, b_txt=TEXT)
    await bring_up(limited)
    assert [each.id for each in limited.documents.all()] == ["a.eml", "a.eml/a.txt"]
    warnings = recorded(limited)[DocumentId("a.eml")][Stage.PARSE].facts["warnings"]
    assert warnings == ["The attachment b.txt is not read: the mail has more than 1 documents (mail.max_documents)."]
    raised = make_project(tmp_path)
    await bring_up(raised)
    assert [each.id for each in raised.documents.all()] == ["a.eml", "a.eml/a.txt", "a.eml/b.txt"]
    assert recorded(raised)[DocumentId("a.eml")][Stage.PARSE].facts["warnings"] == []


def test_a_guard_against_deletions_counts_mails_and_not_what_is_attached(tmp_path: Path) -> None:
    guarded = make_project(tmp_path, listing=ListingSettings(settle_seconds=0, max_deleted_count=2))
    for number in range(3):
        write_mail(guarded, f"{number}.eml", "One", a_txt=TEXT, b_txt=TEXT, c_txt=TEXT)
    scan(guarded)
    (guarded.root / "0.eml").unlink()
    assert scan(guarded).deletions_held == 0
    assert len(guarded.documents.all()) == 8
    for number in (1, 2):
        (guarded.root / f"{number}.eml").unlink()
    assert scan(guarded).deletions_held == 2  # the root is empty
    assert len(guarded.documents.all()) == 8


async def test_one_attached_document_can_be_brought_up_to_date_alone(project: Project) -> None:
    write_mail(project, "in/a.eml", "One", a_txt=TEXT, b_txt=TEXT)
    scope = "in/a.eml/b.txt"
    planned = look(project, scope)
    assert [(each.id, each.mail, each.context) for each in planned.documents] == [(scope, "in/a.eml", "One")]
    report = update_listing(project.source, project.documents, project.guard(), scope)
    assert report.diff.new == (scope,) and [each.id for each in project.documents.all()] == [scope]
    scan(project)
    assert [each.id for each in project.documents.within("in/a.eml")] == ["in/a.eml", "in/a.eml/a.txt", scope]


def test_a_long_subject_leaves_room_for_the_text(tmp_path: Path) -> None:
    from docling_core.types.doc.document import DoclingDocument
    from docling_core.types.doc.labels import DocItemLabel

    document = DoclingDocument(name="x")
    document.add_heading("Its own heading")
    for number in range(30):
        document.add_text(DocItemLabel.TEXT, f"Sentence {number} of the document speaks of the harbour crane.")
    (tmp_path / "document.json").write_text(document.model_dump_json(by_alias=True), "utf-8")
    out = tmp_path / "out"
    out.mkdir()
    chunk_task(
        {
            "parse_dir": str(tmp_path),
            "descriptions": [],
            "out_dir": str(out),
            "options": {"max_tokens": 120, "merge_peers": True, "tokenizer": str(tokenizer_file())},
            "plain": False,
            "context": "A very long subject " * 40 + "\nInner subject",
        }
    )
    chunks = read_chunks(out)
    counter = token_counter()
    assert all(counter.cost(chunk.embedded_text) <= 120 for chunk in chunks)
    assert {chunk.headings[-2:] for chunk in chunks} == {("Inner subject", "Its own heading")}
    assert all(chunk.headings[0].startswith("A very long subject") for chunk in chunks)


def test_other_limits_make_mails_stale_and_nothing_else(tmp_path: Path) -> None:
    usual = make_project(tmp_path / "usual").identities
    other = make_project(tmp_path / "other", mail=MailSettings(max_documents=4)).identities
    assert other.by_stage == usual.by_stage
    assert {each for each, on in other.by_suffix.items() if usual.by_suffix.get(each) != on} == {".eml", ".msg"}
