"""Documents attached to mails: listed with their mails, and only read again when these change."""

import os
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path

import pytest

from aegis_dagster.domain.attachments import AttachedDocument, AttachmentLimits
from aegis_dagster.domain.identifiers import DocumentId
from aegis_dagster.domain.listing import KnownFile, Listing, diff_listing
from aegis_dagster.domain.stages import Document
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.mail.attachments import attached_documents, rules_of
from aegis_dagster.sources.attachments import SourceWithAttachments
from aegis_dagster.sources.local_folder import WatchedFolder
from aegis_dagster.stores.clock import SystemClock
from aegis_dagster_tests.support.outlook_mail import attached_mail, attachment, message, msg

Known = Mapping[DocumentId, KnownFile]


class Root:
    """A folder, its source, and the mails that were looked into."""

    def __init__(self, folder: Path, limits: AttachmentLimits | None = None, version: str = "") -> None:
        self.folder = folder / "root"
        self.folder.mkdir(exist_ok=True)
        self.read: list[int] = []  # the sizes of the mails looked into
        self.limits = limits or AttachmentLimits()
        self.catalog: dict[DocumentId, Document] = {}
        files = WatchedFolder(
            self.folder, ignore=("*.tmp",), settle_seconds=0, clock=SystemClock(), max_megabytes=1, home=folder / "home"
        )
        self.source = SourceWithAttachments(
            files,
            read=self._look,
            rules=rules_of(self.limits) + version,
            mails=self.catalog.get,
            copies=folder / "home" / "downloads",
        )

    def _look(self, data: bytes, suffix: str) -> tuple[AttachedDocument, ...]:
        self.read.append(len(data))
        return attached_documents(data, suffix, self.limits).documents

    def put(self, name: str, mail: EmailMessage | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mail if isinstance(mail, bytes) else mail.as_bytes())
        return path

    def scan(self, known: Known | None = None, scope: str = "", read_seconds: float | None = None) -> Listing:
        listing = self.source.scan(known or {}, scope, read_seconds=read_seconds)
        self.catalog.update((name, seen.document(name)) for name, seen in listing.files.items())
        return listing


def as_known(listing: Listing) -> Known:
    return {
        name: KnownFile(file.revision, file.stamp, file.size_bytes, file.mail, file.context)
        for name, file in listing.files.items()
    }


def mail(subject: str, *files: tuple[str, bytes], inner: EmailMessage | None = None) -> EmailMessage:
    made = EmailMessage()
    made["Subject"] = subject
    made.set_content("See the files.")
    for name, data in files:
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    if inner is not None:
        made.add_attachment(inner)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_what_is_attached_lies_below_its_mail_with_its_subject_in_its_collection(root: Root) -> None:
    root.put("inbox/offer.eml", mail("Re: Offer 4711", ("offer.pdf", b"%PDF"), ("a/b/offer.pdf", b"%PDF 2")))
    root.put("top.eml", mail("Top", ("x.txt", b"words")))
    files = root.scan().files
    assert sorted(files) == [
        *("inbox/offer.eml", "inbox/offer.eml/offer (2).pdf", "inbox/offer.eml/offer.pdf", "top.eml", "top.eml/x.txt")
    ]
    child = files[DocumentId("inbox/offer.eml/offer.pdf")].document(DocumentId("inbox/offer.eml/offer.pdf"))
    assert (child.collection, child.mail, child.context) == ("inbox", "inbox/offer.eml", "Re: Offer 4711")
    assert files[DocumentId("top.eml/x.txt")].document(DocumentId("top.eml/x.txt")).collection == "default"


def test_mails_in_mails_are_documents_too_down_to_the_limit(root: Root) -> None:
    deepest = mail("Deepest", ("deep.txt", b"deep"))
    root.put("m.eml", mail("One", inner=mail("Two", ("two.txt", b"two"), inner=mail("Three", inner=deepest))))
    files = root.scan().files
    below = "m.eml/Two.eml/Three.eml"
    assert sorted(files) == ["m.eml", "m.eml/Two.eml", below, f"{below}/Deepest.eml", "m.eml/Two.eml/two.txt"]
    assert files[DocumentId("m.eml/Two.eml/two.txt")].context == "One\nTwo"
    limits = AttachmentLimits()
    beyond = attached_documents((root.folder / "m.eml").read_bytes(), ".eml", limits).beyond
    assert beyond == (("Two.eml/Three.eml/Deepest.eml/deep.txt", "it is nested deeper than 3 mails (mail.max_depth)"),)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("Offer No. 5", "Offer No. 5.pdf"),
        ("scan_01.02.2024", "scan_01.02.2024.pdf"),
        ("Offer", "Offer.pdf"),
        ("offer.PDF", "offer.PDF"),
        ("setup.exe", None),
        ("music.mp3", None),
        ("packed.7z", None),
    ],
)
def test_a_name_without_a_suffix_gets_that_of_its_type(name: str, listed: str | None) -> None:
    made = mail("Files")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename=name)
    documents = attached_documents(made.as_bytes(), ".eml", AttachmentLimits()).documents
    assert [each.path for each in documents] == ([listed] if listed else [])


def test_number_and_size_are_limited(tmp_path: Path) -> None:
    made = mail("Many", *((f"{number}.txt", bytes(400_000)) for number in range(5))).as_bytes()
    by_number = attached_documents(made, ".eml", AttachmentLimits(max_documents=2))
    assert [each.path for each in by_number.documents] == ["0.txt", "1.txt"] and len(by_number.beyond) == 3
    by_size = attached_documents(made, ".eml", AttachmentLimits(max_megabytes=1))
    assert [each.path for each in by_size.documents] == ["0.txt", "1.txt"]
    assert by_size.beyond[0] == ("2.txt", "the documents of the mail have more than 1 MB (mail.max_megabytes)")


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("signature.asc", "pgp-signature", b"-----BEGIN PGP SIGNATURE-----"),
        ("key.asc", "octet-stream", b"-----BEGIN PGP PUBLIC KEY BLOCK-----"),
        ("data.json", "json", b'{"rows": [1, 2]}'),
        ("smime.p7s", "pkcs7-signature", b"\x30"),
        ("empty.pdf", "pdf", b""),
    ],
)
def test_what_nobody_reads_is_no_document(name: str, kind: str, data: bytes) -> None:
    made = mail("One")
    made.add_attachment(data, maintype="application", subtype=kind, filename=name)
    assert attached_documents(made.as_bytes(), ".eml", AttachmentLimits()).documents == ()


def test_an_outlook_mail_has_its_documents_too(root: Root) -> None:
    inner = message({0x37: "Inner"}, header=24, attachments=(attachment("in.txt", b"In"),))
    parts = (attachment("offer.pdf", b"%PDF"), attached_mail(inner))
    root.put("m.msg", msg(message({0x37: "Outer"}, attachments=parts)))
    first = root.scan().files
    assert sorted(first) == ["m.msg", "m.msg/Inner.eml", "m.msg/Inner.eml/in.txt", "m.msg/offer.pdf"]
    assert Root(root.folder.parent).scan().files == first


def test_a_known_mail_is_not_read_again_even_if_it_is_touched(root: Root) -> None:
    path = root.put("m.eml", mail("One", ("a.txt", b"a")))
    first = root.scan()
    assert len(root.read) == 1
    os.utime(path, ns=(1, 1))
    second = root.scan(as_known(first))
    assert len(root.read) == 1 and set(second.files) == set(first.files)
    diff = diff_listing(second, as_known(first))
    assert (diff.touched, diff.new, diff.changed, diff.deleted) == (("m.eml",), (), (), ())


def test_a_changed_mail_changes_what_is_attached_and_its_subject(root: Root) -> None:
    root.put("m.eml", mail("One", ("a.txt", b"a"), ("b.txt", b"b"), ("c.txt", b"c")))
    known = as_known(root.scan())
    root.put("m.eml", mail("Two", ("a.txt", b"a"), ("b.txt", b"changed")))
    listing = root.scan(known)
    diff = diff_listing(listing, known)
    assert (diff.changed, diff.touched) == (("m.eml", "m.eml/b.txt"), ("m.eml/a.txt",))
    assert diff.deleted == ("m.eml/c.txt",)
    assert listing.files[DocumentId("m.eml/a.txt")].context == "Two"


def test_a_mail_takes_its_documents_along(root: Root) -> None:
    path = root.put("m.eml", mail("One", ("a.txt", b"a")))
    known = as_known(root.scan())
    path.rename(root.folder / "new.eml")
    assert diff_listing(root.scan(known), known).moved == (("m.eml", "new.eml"), ("m.eml/a.txt", "new.eml/a.txt"))
    (root.folder / "new.eml").unlink()
    assert diff_listing(root.scan(known), known).deleted == ("m.eml", "m.eml/a.txt")


def test_mails_of_an_earlier_version_are_looked_into_once(tmp_path: Path) -> None:
    root = Root(tmp_path)
    root.put("m.eml", mail("One", ("a.txt", b"a")))
    file = root.scan().files[DocumentId("m.eml")]
    old = {DocumentId("m.eml"): KnownFile(file.revision, file.stamp.partition("|")[0], file.size_bytes)}
    assert diff_listing(root.scan(old), old).new == ("m.eml/a.txt",)
    later = Root(tmp_path, version=" later")
    known = as_known(later.scan(as_known(root.scan(old))))
    assert later.read and len(later.read) == 1
    later.scan(known)
    assert len(later.read) == 1


def test_a_mail_that_is_not_read_now_keeps_its_documents(root: Root) -> None:
    for number in range(8):
        root.put(f"{number}.eml", mail("One", (f"{number}.txt", b"a")))
    known = as_known(root.scan())
    for number in range(8):
        root.put(f"{number}.eml", mail("Two", (f"{number}.txt", b"b")))
    listing = root.scan(known, read_seconds=0)
    assert listing.unread == {f"{number}.eml" for number in range(8)}
    assert diff_listing(listing, known).deleted == () == diff_listing(listing, known).changed


def test_a_mail_that_cannot_be_read_any_more_keeps_its_documents(root: Root) -> None:
    path = root.put("m.eml", mail("One", ("a.txt", b"a")))
    known = as_known(root.scan())
    path.unlink()
    path.symlink_to("nowhere.eml")
    listing = root.scan(known)
    assert [item.path for item in listing.passed_over] == ["m.eml"]
    assert diff_listing(listing, known).deleted == ()


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        ("in/m.eml", ["in/m.eml", "in/m.eml/Two.eml", "in/m.eml/Two.eml/a.txt", "in/m.eml/b.txt"]),
        ("in/m.eml/Two.eml", ["in/m.eml/Two.eml", "in/m.eml/Two.eml/a.txt"]),
        ("in/m.eml/b.txt", ["in/m.eml/b.txt"]),
        ("in/m.eml/none.txt", []),
        ("in", ["in/m.eml", "in/m.eml/Two.eml", "in/m.eml/Two.eml/a.txt", "in/m.eml/b.txt"]),
        ("folder.eml", ["folder.eml/plain.txt"]),
        ("folder.eml/plain.txt", ["folder.eml/plain.txt"]),
    ],
)
def test_a_scope_may_lie_in_a_mail(root: Root, scope: str, found: list[str]) -> None:
    root.put("in/m.eml", mail("One", ("b.txt", b"b"), inner=mail("Two", ("a.txt", b"a"))))
    root.put("folder.eml/plain.txt", b"in a folder named like a mail")
    assert sorted(root.scan(scope=scope).files) == found
    assert root.source.is_file(scope) == (bool(found) and scope in found)
    assert root.source.holds(scope) == bool(found)


def test_an_attached_document_is_opened_as_a_copy_that_does_not_stay(root: Root) -> None:
    root.put("m.eml", mail("One", inner=mail("Two", ("a.txt", b"words"))))
    child = root.scan().files[DocumentId("m.eml/Two.eml/a.txt")].document(DocumentId("m.eml/Two.eml/a.txt"))
    with root.source.local_copy(child) as path:
        assert path.read_bytes() == b"words" and not path.is_relative_to(root.folder)
    assert not path.exists()
    root.put("m.eml", mail("One", inner=mail("Two", ("a.txt", b"other"))))
    with pytest.raises(DocumentError) as caught, root.source.local_copy(child):
        pass
    assert caught.value.code is FailureCode.FILE_CHANGED and caught.value.retryable


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd.txt", "..", ".hidden.txt", "a\x00b.txt", "con\u202etxt.txt", "x" * 400 + ".txt", "/"]
)
def test_no_name_of_an_attachment_leaves_its_mail(root: Root, name: str) -> None:
    encoded = name.encode("unicode_escape") if "\x00" in name else name.encode()
    part = b'Content-Type: text/plain\r\nContent-Disposition: attachment; filename="' + encoded + b'"\r\n\r\nwords\r\n'
    root.put("m.eml", b'Subject: x\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n' + part + b"--b--\r\n")
    (child,) = (each for each in root.scan().files if each != "m.eml")
    below = child.removeprefix("m.eml/")
    assert child.startswith("m.eml/") and "/" not in below and below.isprintable() and not below.startswith(".")
    assert len(below.encode()) < 200 and below.endswith(".txt")


def test_a_mail_at_which_its_reader_stops_costs_no_other_mail(tmp_path: Path) -> None:
    def look(data: bytes, suffix: str) -> tuple[AttachedDocument, ...]:
        if b"hostile" in data:
            raise UnicodeError("an encoding that nobody thought of")
        return (AttachedDocument("offer.txt", b"offer", "Subject"),)

    files = WatchedFolder(
        tmp_path, ignore=(), settle_seconds=0, clock=SystemClock(), max_megabytes=1, home=tmp_path.parent / "home"
    )
    source = SourceWithAttachments(
        files, read=look, rules="", mails=lambda _: None, copies=tmp_path.parent / "downloads"
    )
    (tmp_path / "good.eml").write_bytes(b"Subject: good")
    (tmp_path / "hostile.eml").write_bytes(b"Subject: hostile")
    assert sorted(source.scan({}).files) == ["good.eml", "good.eml/offer.txt", "hostile.eml"]
