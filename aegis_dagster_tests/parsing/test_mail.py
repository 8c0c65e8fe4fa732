"""Mails: every word arrives in the chunks, or in the list of what is left out, whatever the mail's structure."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial
from typing import cast

import pytest

from aegis_dagster.errors import DocumentError
from aegis_dagster.parsing.mail.content import visible
from aegis_dagster.parsing.mail.reader import read
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster_tests.parsing.conftest import Parse
from aegis_dagster_tests.support.bad_files import one_page_pdf, picture
from aegis_dagster_tests.support.chunked_documents import chunk_document, chunk_parsed
from aegis_dagster_tests.support.outlook_mail import attached_mail, attachment, message, msg

OPTIONS = {"pdf_route": "rules", "docling_models": None, "ocr": True}
WORD = "Quixotry4711"


def parsed_mail(data: bytes | EmailMessage, kind: str = "eml") -> Parsed:
    raw = data if isinstance(data, bytes) else data.as_bytes()
    return read(raw, name=f"0123.{kind}", kind=kind, options=OPTIONS)


def text_of(data: bytes | EmailMessage, kind: str = "eml") -> str:
    """Everything that is embedded."""
    chunks = chunk_document(parsed_mail(data, kind).document).chunks
    return "\n".join(chunk.embedded_text.replace("  \n", "\n") for chunk in chunks)


def mail(subject: str = "Offer", body: str = "The body of the mail.") -> EmailMessage:
    made = EmailMessage()
    made["Subject"], made["From"], made["To"] = subject, "Ann <ann@example.org>", "bob@example.org"
    made.set_content(body)
    return made


def raw(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([*lines, "", ""]).encode() + body


def with_field(name: str) -> EmailMessage:
    made = mail()
    del made[name]
    made[name] = f"{WORD}@example.org" if name in ("From", "To", "Cc", "Bcc", "Reply-To", "Sender") else WORD
    return made


def html_body(html: str) -> EmailMessage:
    made = mail()
    made.add_alternative(html, subtype="html")
    return made


def attached(
    name: str, data: bytes = b"\x01\x02", maintype: str = "application", subtype: str = "x-odd"
) -> EmailMessage:
    made = mail()
    made.add_attachment(data, maintype=maintype, subtype=subtype, filename=name)
    return made


def calendar(line: str) -> bytes:
    lines = ["BEGIN:VCALENDAR", "METHOD:REQUEST", "BEGIN:VEVENT", line, "END:VEVENT", "END:VCALENDAR"]
    return raw("Subject: Invitation", "Content-Type: text/calendar; charset=utf-8", body="\r\n".join(lines).encode())


def nested() -> EmailMessage:
    made = mail()
    made.add_attachment(mail("Inner", f"Hidden deep: {WORD}"))
    return made


def mixed(*parts: str) -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    return raw("Subject: Parts", 'Content-Type: multipart/mixed; boundary="b"', body=body.encode())


def report() -> bytes:
    status = f"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nDiagnostic-Code: {WORD}\r\n"
    return mixed("Content-Type: text/plain\r\n\r\nFailed.", status)


PLACES: dict[str, Callable[[], bytes | EmailMessage]] = {
    **{name: partial(with_field, name) for name in ("Subject", "From", "To", "Cc", "Reply-To", "Sender")},
    "Date": lambda: raw(f"Subject: x\r\nDate: Tue, 3 Mar 2026 10:00:00 +0100 ({WORD})", body=b"Hello"),
    "plain body": lambda: mail(body=f"Hello {WORD}"),
    "HTML body": lambda: html_body(f"<p>The body of the mail.</p><p>{WORD}</p>"),
    "cell of a table": lambda: html_body(f"<table><tr><td>a</td><td>{WORD}</td></tr></table>"),
    "heading of HTML": lambda: html_body(f"<h1>{WORD}</h1><p>The body of the mail.</p>"),
    "only in the plain body": lambda: html_body("<p>The body.</p>").as_bytes().replace(b"of the mail", WORD.encode()),
    "name of an attachment": lambda: attached(f"{WORD}.bin"),
    "name of a picture": lambda: attached(f"{WORD}.gif", picture("GIF"), "image", "gif"),
    "attached text of another kind": lambda: attached("fix.patch", WORD.encode(), "text", "x-patch"),
    "attached JSON": lambda: attached("data.json", f'{{"name": "{WORD}"}}'.encode(), "application", "json"),
    "text after an attachment": lambda: mixed(
        "Content-Type: text/plain\r\n\r\nBody",
        'Content-Type: application/pdf; name="a.pdf"\r\n\r\n%PDF',
        f"Content-Type: text/plain\r\n\r\nYou are on the list {WORD}.",
    ),
    "second HTML part": lambda: mixed(
        "Content-Type: text/html\r\n\r\n<p>One</p>", f"Content-Type: text/html\r\n\r\n<p>{WORD}</p>"
    ),
    "text behind the last boundary": lambda: mixed("Content-Type: text/plain\r\n\r\nBody") + WORD.encode(),
    "delivery report": report,
    "summary of an event": lambda: calendar(f"SUMMARY:{WORD}"),
    "place of an event": lambda: calendar(f"LOCATION;LANGUAGE=de:{WORD}"),
    "description of an event": lambda: calendar(f"DESCRIPTION:Line\\n{WORD[:4]}\r\n {WORD[4:]}"),
    "organiser of an event": lambda: calendar(f'ORGANIZER;CN="{WORD}":mailto:ann@example.org'),
    "attendee of an event": lambda: calendar(f"ATTENDEE;CN=Bob:mailto:{WORD}@example.org"),
}
DOCUMENTS: dict[str, Callable[[], EmailMessage]] = {
    "attached text": lambda: attached("notes.txt", WORD.encode(), "text", "plain"),
    "attached page": lambda: attached("page.html", f"<p>{WORD}</p>".encode(), "text", "html"),
    "attached mail": nested,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_word_in_any_place_of_a_mail_is_in_its_chunks(place: str) -> None:
    assert WORD.lower() in text_of(PLACES[place]()).lower()


@pytest.mark.parametrize("place", DOCUMENTS)
def test_a_word_in_an_attached_document_is_left_out_as_that_of_another_document(place: str) -> None:
    left_out = parsed_mail(DOCUMENTS[place]()).left_out
    assert [item.reason for item in left_out if WORD in item.text] == ["own_document"]
    assert WORD not in text_of(DOCUMENTS[place]())


ODD: dict[str, Callable[[], bytes]] = {
    "list footer behind base64": lambda: raw(
        "Subject: x",
        "Content-Transfer-Encoding: base64",
        body=base64.encodebytes("Der Körper.".encode()) + b"____\r\nTo unsubscribe, write to the owner.\r\n",
    ),
    "header in Windows-1252": lambda: "Subject: Größe\r\nFrom: Jürgen <j@example.org>\r\n\r\nText".encode("cp1252"),
    "whole mail in UTF-16": lambda: "Subject: Größe\r\n\r\nText".encode("utf-16"),
    "Japanese that declares ASCII": lambda: raw(
        "Subject: x", "Content-Type: text/plain; charset=us-ascii", body="請求書の番号".encode("iso-2022-jp")
    ),
    "UTF-8 that declares Latin-1": lambda: raw(
        "Subject: x", "Content-Type: text/plain; charset=iso-8859-1", body="請求書の番号".encode()
    ),
    "files between HTML": lambda: mixed(
        "Content-Type: text/html\r\n\r\n<p>Hello words</p>",
        "Content-Disposition: inline; filename=a.pdf\r\n\r\n%PDF",
        "Content-Type: text/html\r\n\r\n<p>more words</p>",
    ),
}


@pytest.mark.parametrize("name", [*PLACES, *DOCUMENTS, *ODD])
def test_the_second_reading_of_a_mail_finds_nothing_that_its_chunks_lack(parse: Parse, name: str) -> None:
    made = (PLACES | DOCUMENTS | ODD)[name]()
    parsed = parse(made if isinstance(made, bytes) else made.as_bytes(), "mail.eml")
    report = chunk_parsed(parsed.folder).report
    assert (report["coverage"], report["missing"]) == (1.0, [])


def test_of_two_bodies_the_richer_is_read_and_the_other_is_left_out_by_its_reason() -> None:
    made = html_body("<p>The body of the ma&shy;il.</p><table><tr><td>Net</td><td>12</td></tr></table>")
    parsed = parsed_mail(made)
    assert text_of(made).replace("\u00ad", "").count("The body of the mail.") == 1
    assert [(item.reason, item.text.strip()) for item in parsed.left_out] == [("other_body", "The body of the mail.")]
    assert "| Net" in parsed.document.export_to_markdown()


def test_an_empty_html_body_does_not_replace_the_plain_one() -> None:
    assert "The body of the mail." in text_of(html_body("<html><style>p {color: red}</style><p> </p></html>"))


def test_links_of_an_html_body_stay() -> None:
    made = html_body('<p>The body of the mail. <a href="https://example.org/x">here</a></p>')
    assert "https://example.org/x" in parsed_mail(made).document.export_to_markdown()


def test_an_attachment_is_named_with_its_type_and_size_and_one_that_is_not_read_with_a_warning() -> None:
    made = attached("offer.pdf", bytes(31_000), "application", "pdf")
    made.add_attachment(b"PK", maintype="application", subtype="zip", filename="all.zip")
    made.add_attachment(b"x", maintype="application", subtype="ms-tnef", filename="winmail.dat")
    assert "Attachments: offer.pdf (application/pdf, 31 kB); all.zip (application/zip, 2 bytes);" in text_of(made)
    warnings = parsed_mail(made).warnings
    assert [each.split(" is not read")[0] for each in warnings] == [
        "The attachment all.zip",
        "The attachment winmail.dat",
    ]


def test_a_mail_with_nothing_but_a_file_is_its_header_and_the_files_name(parse: Parse) -> None:
    data = raw(
        "Subject: Only a file", 'Content-Type: application/pdf; name="offer.pdf"', body=b"%PDF-1.4 " + one_page_pdf()
    )
    assert "offer.pdf" in parse(data, "file.eml").markdown


def test_letters_that_are_two_in_small_do_not_shift_what_is_seen() -> None:
    made = mail()
    made.set_content("İ" * 30 + "<style>unseen</style>seen", subtype="html")
    assert visible(made.get_content()) == "İ" * 30 + " seen"


def test_pictures_that_the_text_shows_are_pictures_of_the_mail(parse: Parse) -> None:
    made = html_body('<p>Our logo:</p><img src="cid:logo@example"><p>The body of the mail.</p>')
    html = cast(list[EmailMessage], made.get_payload())[1]
    html.add_related(picture("PNG"), "image", "png", cid="<logo@example>", filename="logo.png")
    parsed = parse(made.as_bytes(), "logo.eml")
    assert len(list((parsed.folder / "pictures").iterdir())) == 1
    assert "Pictures: logo.png" in parsed.markdown and "Attachments" not in parsed.markdown


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("iso-2022-jp", "iso-2022-jp"),
        ("us-ascii", "iso-2022-jp"),
        ("utf-8", "iso-2022-jp"),
        ("", "iso-2022-jp"),
        ("shift_jis", "cp932"),
        ("euc-jp", "euc-jp"),
        ("iso-8859-1", "utf-8"),
        ("us-ascii", "utf-8"),
        ("no-such-charset", "utf-8"),
        ("", "utf-8"),
        ("gb2312", "gb18030"),
        ("ks_c_5601-1987", "cp949"),
    ],
)
def test_a_body_is_read_in_the_charset_it_has(declared: str, codec: str) -> None:
    text = {"gb18030": "发票号码", "cp949": "송장 번호"}.get(codec, "請求書の番号")
    head = f"Content-Type: text/plain; charset={declared}" if declared else "Content-Type: text/plain"
    assert text in text_of(raw("Subject: x", head, "Content-Transfer-Encoding: 8bit", body=text.encode(codec)))


@pytest.mark.parametrize("declared", ["punycode", "idna", "unicode_escape", "undefined", "base64", "mbcs"])
def test_a_charset_that_is_no_encoding_of_texts_is_read_as_none(declared: str) -> None:
    head = f"Subject: =?{declared}?Q?Of:fer?=\nContent-Type: text/plain; charset={declared}\n\n"
    assert "Total: 5 (net)" in text_of(head.encode() + b"Total: 5 (net)\n")


def test_windows_characters_in_japanese_mail_are_read() -> None:
    body = b"\x1b$B-!@A5a=q\x1b(B"  # a circled 1, which ISO-2022-JP does not have
    assert "①請求書" in text_of(raw("Subject: x", "Content-Type: text/plain; charset=iso-2022-jp", body=body))


def test_an_unknown_charset_and_damaged_characters_are_read_and_warned_of() -> None:
    unknown = raw("Subject: x", "Content-Type: text/plain; charset=x-klingon", body="Größe".encode("cp1252"))
    assert "Größe" in text_of(unknown) and "x-klingon" in parsed_mail(unknown).warnings[0]
    cut = "Größe und Maße der Türen für Öfen".encode() * 9 + b"\xff"
    damaged = raw("Subject: x", "Content-Type: text/plain; charset=utf-8", body=cut)
    assert "Größe" in text_of(damaged) and "damaged" in parsed_mail(damaged).warnings[0]


@pytest.mark.parametrize(
    "subject",
    [
        "=?UTF-8?B?UsOpY2x?= =?UTF-8?Q?amation?=",
        "=?utf-8?b?UsOp?=\r\n =?utf-8?b?Y2xhbWF0aW9u?=",
        "=?iso-8859-1?q?R=E9clamation?=",
        "=?utf-8?b?UsM=?= =?utf-8?b?qWNsYW1hdGlvbg==?=",  # a character divided between two words
        "=?utf-8*fr?Q?R=C3=A9clamation?=",
        "Réclamation",
    ],
)
def test_a_subject_is_decoded(subject: str) -> None:
    assert parsed_mail(raw(f"Subject: {subject}", body=b"Hello")).document.texts[0].text == "Réclamation"


@pytest.mark.parametrize(
    "header",
    [
        "Content-Disposition: attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.bin",
        "Content-Disposition: attachment; filename*0*=utf-8''gr%C3%B6; filename*1*=%C3%9Fe; filename*2=.bin",
        'Content-Disposition: attachment; filename="=?utf-8?q?gr=C3=B6=C3=9Fe.bin?="',
        'Content-Disposition: attachment; filename="größe.bin"',
        'Content-Disposition: attachment; filename="C:\\\\docs\\\\größe.bin"',
        'Content-Disposition: attachment\r\nContent-Type: application/x-odd; name="../größe.bin"',
    ],
)
def test_a_files_name_is_decoded_and_has_no_folders(header: str) -> None:
    text = text_of(mixed("Content-Type: text/plain\r\n\r\nBody", f"{header}\r\n\r\nabc"))
    assert "Attachments: größe.bin (" in text


def test_soft_breaks_and_flowed_lines_are_joined() -> None:
    quoted = raw("Subject: x", "Content-Transfer-Encoding: quoted-printable", body=b"An invoice num=\r\nber: =C3=84 1")
    assert "An invoice number: Ä 1" in text_of(quoted)
    flowed = raw("Subject: x", "Content-Type: text/plain; format=flowed", body=b"> one \r\n> two\r\nthree \r\nfour\r\n")
    assert "> one two\nthree four" in text_of(flowed)


@pytest.mark.parametrize("damage", [b"", b"!!", b"\r\n\r\n", b"\xff"])
def test_broken_base64_costs_what_is_broken(damage: bytes) -> None:
    encoded = base64.b64encode(b"The delivery date is fixed. " * 9)
    body = encoded[:40] + damage + encoded[40:-3]
    assert "delivery date" in text_of(raw("Subject: x", "Content-Transfer-Encoding: base64", body=body))


def test_a_footer_behind_base64_is_read() -> None:
    body = base64.encodebytes("Der Körper.".encode()) + b"_______\r\nTo unsubscribe, write to the owner.\r\n"
    text = text_of(raw("Subject: x", "Content-Transfer-Encoding: base64", body=body))
    assert "Der Körper." in text and "To unsubscribe" in text


@pytest.mark.parametrize(
    "head",
    [
        'Content-Type: multipart/mixed; boundary="other"',
        "Content-Type: multipart/mixed",
        "Content-Type: multipart/alternative; boundary=b",
    ],
)
def test_parts_are_found_without_the_right_boundary(head: str) -> None:
    body = (
        b"--b\r\nContent-Type: text/plain\r\n\r\nFirst words\r\n--b\r\nContent-Type: text/calendar\r\n\r\nno calendar"
    )
    text = text_of(raw("Subject: x", head, body=body))
    assert "First words" in text and "Content-Type" not in text


def test_the_line_of_a_mailbox_and_missing_empty_lines_are_no_text() -> None:
    text = text_of(
        b"From ann@example.org Tue Mar  3 10:00:00 2026\nSubject: Offer\nFrom: ann@example.org\nHello there\n"
    )
    assert text.startswith("Offer\nFrom: ann@example.org\nHello there")


def test_an_invitation_that_comes_in_two_parts_is_shown_once() -> None:
    event = (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Review\r\nDTSTART;TZID=Europe/Berlin:20260303T100000\r\n"
        "DTEND:20260303T110000Z\r\nBEGIN:VALARM\r\nDESCRIPTION:Reminder\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR"
    )
    made = html_body("<p>The body of the mail.</p>")
    made.add_alternative(event, subtype="calendar")
    made.add_attachment(event.encode(), maintype="application", subtype="ics", filename="invite.ics")
    text = text_of(made)
    assert text.count("Summary: Review\nStart: 2026-03-03 10:00 (Europe/Berlin)\nEnd: 2026-03-03 11:00 (UTC)") == 1
    assert "Reminder" not in text and "invite.ics" in text and parsed_mail(made).warnings == ()


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (raw("Subject: x", "Content-Type: application/pkcs7-mime; smime-type=enveloped-data", body=b"\x30"), "S/MIME"),
        (
            mixed(
                "Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1", "Content-Type: text/plain\r\n\r\nabc"
            ).replace(b"multipart/mixed", b"multipart/encrypted"),
            "PGP",
        ),
        (raw("Subject: x", body=b"-----BEGIN PGP MESSAGE-----\r\nabc\r\n-----END PGP MESSAGE-----"), "PGP"),
    ],
)
def test_an_encrypted_mail_says_so(data: bytes, how: str) -> None:
    assert f"This mail is encrypted ({how})." in text_of(data)
    assert parsed_mail(data).warnings == (
        f"The mail is encrypted ({how}) and not read; save it decrypted in the mail program.",
    )


def der(tag: int, *inside: bytes) -> bytes:
    content = b"".join(inside)
    return bytes((tag, 0x82)) + len(content).to_bytes(2, "big") + content


def signed(*, in_pieces: bool) -> bytes:
    """CMS signed data that encloses a mail, without certificates and signatures."""
    inner = f"Content-Type: text/plain\r\n\r\n{WORD} is signed.".encode()
    octets = der(0x04, inner)
    if in_pieces:  # of indefinite length, as programs write that do not know the end
        octets = b"\x24\x80" + b"".join(der(0x04, inner[at : at + 9]) for at in range(0, len(inner), 9)) + b"\0\0"
    data, signed_data = (der(0x06, bytes.fromhex(f"2a864886f70d01070{number}")) for number in (1, 2))
    enclosed = der(0x30, data, der(0xA0, octets))
    return der(0x30, signed_data, der(0xA0, der(0x30, der(0x02, b"\x01"), der(0x31), enclosed)))


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_mail_enclosed_in_its_signature_is_read(in_pieces: bool) -> None:
    enclosing = base64.encodebytes(signed(in_pieces=in_pieces))
    head = ("Content-Type: application/pkcs7-mime; name=smime.p7m", "Content-Transfer-Encoding: base64")
    data = raw("Subject: Signed", *head, body=enclosing)
    assert f"{WORD} is signed." in text_of(data) and parsed_mail(data).warnings == ()
    cut = parsed_mail(raw("Subject: Signed", *head, body=enclosing[:80]))
    assert "encrypted" in cut.warnings[0]


def test_a_signed_outlook_mail_is_read() -> None:
    entity = mixed("Content-Type: text/plain\r\n\r\nInside", "Content-Type: application/pkcs7-signature\r\n\r\nx")
    for data, kind in ((entity, "multipart/signed"), (signed(in_pieces=True), "application/pkcs7-mime")):
        made = message({0x37: "Signed"}, attachments=(attachment("smime.p7m", data, kind=kind),))
        assert {"Inside", WORD} & set(text_of(msg(made), "msg").split())


def test_a_mail_whose_parts_are_nested_without_end_is_read_as_far_as_it_is_sane() -> None:
    levels = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(3_000))
    parsed = parsed_mail(b"Subject: Deep\r\n" + levels.encode())
    assert "nested" in parsed.warnings[0] and parsed.document.texts[0].text == "Deep"


def outlook() -> bytes:
    ticks = int((datetime(2026, 3, 3, 9, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10**7
    inner = message({0x37: "InnerSubject", 0x1000: "InnerBody"}, header=24, attachments=(attachment("in.txt", b"In"),))
    html = "<table><tr><td>Net</td><td>GrößeCell</td></tr></table>".encode()
    return msg(
        message(
            {0x37: "Offer – 4711", 0x1000: "Net GrößeCell\r\n\r\nOnlyPlain", 0x0C1A: "Ann", 0x5D01: "ann@example.org"},
            binaries={0x1013: html},
            numbers={0x39: ticks, 0x3FDE: 65001},
            recipients=(("Bob", "bob@example.org", 1), ("Cy", "cy@example.org", 2)),
            attachments=(attachment("offer.pdf", bytes(31_000), kind="application/pdf"), attached_mail(inner)),
        )
    )


@pytest.mark.parametrize(
    "words",
    [
        *("Offer – 4711", "From: Ann <ann@example.org>", "To: Bob <bob@example.org>", "Cc: Cy <cy@example.org>"),
        *("Date: Tue, 03 Mar 2026 09:00:00", "GrößeCell", "OnlyPlain", "offer.pdf (application/pdf, 31 kB)"),
        "InnerSubject.eml (message/rfc822",
    ],
)
def test_an_outlook_mail_is_read_like_any_other(parse: Parse, words: str) -> None:
    assert words in text_of(outlook(), "msg")
    assert parse(outlook(), "offer.msg").manifest["format"] == "msg"


def test_an_outlook_mail_that_has_only_compressed_rtf_is_read() -> None:
    # The example of MS-OXRTFCP 4.1.1: references into the dictionary, then plain text.
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert text_of(msg(message({0x37: "Rich"}, binaries={0x1009: packed})), "msg") == "Rich\nhello world"


@pytest.mark.parametrize("at", [100, 600, 1_200, 5_000])
def test_a_damaged_outlook_mail_is_refused_with_its_reason(parse: Parse, at: int) -> None:
    whole = outlook()
    damaged = whole[:at] + b"\xfe\xff\xff\x7f" * 200 + whole[at + 800 :]
    try:
        parse(damaged, "offer.msg")
    except DocumentError as error:
        assert error.remedy
