"""Encodings: every text is read as what it is, or the reader says that it is unsure; what is no text is refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.text.encodings import declared_in, decode, is_text
from aegis_dagster_tests.parsing.conftest import Parse

GERMAN = "Größe aus Köln: die Prüfgebühr beträgt 12 EUR je Gerät.\n"
FRENCH = "Le contrôle des pièces détachées a été effectué : le résultat est très élevé.\n"
SPANISH = "El niño comió mañana; la reunión será el miércoles. ¿Cuándo llegará el señor Muñoz?\n"
PORTUGUESE = "A reunião não será possível amanhã; as peças estão em manutenção.\n"
SWEDISH = "Mätning på fartyget är färdig; öppna luckan före måndag, åtgärda felet.\n"
DANISH = "Måling på skibet er færdig; åbn lågen før mandag og rør ikke øjet.\n"
POLISH = "Zażółć gęślą jaźń. Opłata za sprawdzenie urządzenia wynosi pięć złotych.\n"
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy. Měření bylo dokončeno, cena je vyšší.\n"
HUNGARIAN = "Az árvíztűrő tükörfúrógép mérése elkészült, a költség összesen tíz forint.\n"
TURKISH = "Ölçüm tamamlandı; cihazın fiyatı yüksek. Çağrı güneş değil, ılık.\n"
RUSSIAN = "Проверка приборов завершена. Стоимость составляет двенадцать рублей.\n"
UKRAINIAN = "Перевірка приладів завершена. Вартість становить дванадцять гривень, їжа є.\n"
GREEK = "Ο έλεγχος των συσκευών ολοκληρώθηκε. Η τιμή είναι δώδεκα ευρώ.\n"
HEBREW = "בדיקת המכשירים הושלמה. המחיר הוא שנים עשר שקלים.\n"
ARABIC = "اكتمل فحص الأجهزة. السعر اثنا عشر دينارا في القاهرة.\n"
THAI = "การตรวจสอบอุปกรณ์เสร็จสิ้นแล้ว ราคาสิบสองบาท\n"
LATVIAN = "Mērīšana ir pabeigta; ierīces cena ir lielāka. Ļoti žēl.\n"
JAPANESE = "検査報告書\n飲料水の校正は毎月行う。結果は管理責任者に記録する。\n"
KOREAN = "검사 보고서\n음용수 교정은 매월 실시한다. 결과는 책임자가 기록한다.\n"
CHINESE = "检验报告\n饮用水的校准每月进行一次。结果由负责人记录。\n"
TAIWANESE = "檢驗報告\n飲用水的校準每月進行一次。結果由負責人記錄。\n"
FRAME = "╔════════╗\n║ Größe  ║\n╚════════╝\n"

UNDECLARED = [
    *((GERMAN, codec) for codec in ("cp1252", "mac_roman", "cp437", "cp850", "utf-16-le", "utf-16-be")),
    *((FRENCH, codec) for codec in ("cp1252", "mac_roman", "utf-32-le")),
    *((SPANISH, codec) for codec in ("cp1252", "mac_roman", "cp437", "cp850")),
    *((PORTUGUESE, codec) for codec in ("cp1252", "cp850")),
    *((SWEDISH, codec) for codec in ("cp1252", "cp437")),
    *((DANISH, codec) for codec in ("cp1252", "cp850")),
    *((POLISH, codec) for codec in ("cp1250", "iso8859-2", "cp852")),
    *((CZECH, codec) for codec in ("cp1250", "iso8859-2")),
    (HUNGARIAN, "cp1250"),
    *((TURKISH, codec) for codec in ("cp1254", "iso8859-9")),
    *((RUSSIAN, codec) for codec in ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac_cyrillic")),
    *((UKRAINIAN, codec) for codec in ("cp1251", "koi8-u")),
    *((GREEK, codec) for codec in ("cp1253", "iso8859-7")),
    *((HEBREW, codec) for codec in ("cp1255", "iso8859-8")),
    *((ARABIC, codec) for codec in ("cp1256", "iso8859-6")),
    (THAI, "cp874"),
    (LATVIAN, "cp1257"),
    *((JAPANESE, codec) for codec in ("cp932", "euc_jp", "iso2022_jp", "utf-16-le")),
    *((KOREAN, codec) for codec in ("cp949", "iso2022_kr", "utf-16-be")),
    *((CHINESE, codec) for codec in ("gb18030", "hz", "utf-16-le")),
    (TAIWANESE, "big5"),
    (FRAME, "cp437"),
    ("Dichtung für Pumpe;1,20\n", "cp1252"),
    ("Отчёт о проверке\n", "koi8-r"),
    ("検査報告書\n", "cp932"),
    ("カタログの価格をごらんください。\n", "euc_jp"),
    ("ｶﾀﾛｸﾞ 価格\n", "cp932"),
    ("검사 보고서\n", "cp949"),
    ("检验报告\n", "gb18030"),
    ("检验报告饮用水的校准每月进行一次", "utf-16-le"),
]


@pytest.mark.parametrize(("text", "codec"), UNDECLARED, ids=lambda value: value if value.isascii() else "")
def test_a_text_that_declares_nothing_is_read_in_its_encoding(text: str, codec: str) -> None:
    data = text.encode(codec)
    assert is_text(data)
    assert decode(data).text == text
    assert decode(data).replaced == 0


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides_and_is_no_part_of_the_text(mark: str) -> None:
    decoded = decode(GERMAN.encode(mark))
    assert (decoded.text, decoded.certain, decoded.warnings()) == (GERMAN, True, ())


def test_the_reading_of_a_large_file_does_not_depend_on_its_head(parse: Parse) -> None:
    data = b"Only plain letters in this line.\n" * 20_000 + GERMAN.encode("cp1252") + b"and plain again.\n" * 20_000
    assert decode(data).text.encode("cp1252") == data
    assert decode(data) == decode(data)


@pytest.mark.parametrize(
    ("text", "codec", "declared"),
    [
        (GERMAN, "cp1252", "iso-8859-1"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (JAPANESE, "cp932", "shift_jis"),
        (JAPANESE, "euc_jp", "x-euc-jp"),
        (CHINESE, "gb18030", "gb2312"),
        (POLISH, "iso8859-2", '"ISO-8859-2"'),
        ("Ünsal", "cp1254", "iso-8859-9"),
        ("für", "cp850", "cp850"),
    ],
)
def test_a_declaration_is_honoured(text: str, codec: str, declared: str) -> None:
    decoded = decode(text.encode(codec), declared)
    assert (decoded.text, decoded.certain, decoded.contradicted, decoded.warnings()) == (text, True, False, ())


@pytest.mark.parametrize(
    ("text", "codec", "declared"),
    [
        (GERMAN, "cp1252", "utf-8"),
        (GERMAN, "utf-8", "iso-8859-1"),
        (GERMAN, "utf-8", "us-ascii"),
        (GERMAN, "cp1252", "utf-16"),
        (RUSSIAN, "cp1251", "iso-8859-1"),
        (RUSSIAN, "cp1251", "koi8-r"),
        (JAPANESE, "cp932", "utf-8"),
        (JAPANESE, "utf-8", "shift_jis"),
    ],
)
def test_a_wrong_declaration_is_noticed(text: str, codec: str, declared: str) -> None:
    decoded = decode(text.encode(codec), declared)
    assert (decoded.text, decoded.contradicted) == (text, True)
    assert declared in decoded.warnings()[0]
    assert decoded.encoding in decoded.warnings()[0]


@pytest.mark.parametrize("declared", ["x-nothing", "base64", "rot13", "unicode_escape", "", "\x00"])
def test_a_declaration_of_no_encoding_is_none(declared: str) -> None:
    assert decode(GERMAN.encode("cp1252"), declared).text == GERMAN


@pytest.mark.parametrize(
    ("head", "declared"),
    [
        (b'<meta charset="koi8-r">', "koi8-r"),
        (b"<META http-equiv=Content-Type content='text/html; charset=windows-1251'>", "windows-1251"),
        (b'<?xml version="1.0" encoding="iso-8859-2"?>', "iso-8859-2"),
        (b'<!-- <meta charset="koi8-r"> --><meta charset=utf-8>', "utf-8"),
        (b"<p>charset=koi8-r", None),
    ],
)
def test_the_declaration_of_a_page_is_found(head: bytes, declared: str | None) -> None:
    assert declared_in(b"<!doctype html><html><head>" + head) == declared


def test_wrong_bytes_in_utf8_are_replaced_and_counted() -> None:
    decoded = decode((GERMAN * 3).encode() + b"broken \xff here and \xfe there")
    assert decoded.text == GERMAN * 3 + "broken � here and � there"
    assert decoded.warnings() == ("2 places hold bytes that are not UTF-8; a � stands there.",)


def test_replacement_characters_of_the_file_itself_are_not_counted() -> None:
    assert decode("Grüße � und � mehr".encode()).replaced == 0


def test_a_log_in_two_encodings_is_read_line_by_line() -> None:
    decoded = decode("größer\n".encode() + "Prüfgebühr\nÄpfel\n".encode("cp1252"))
    assert decoded.text == "größer\nPrüfgebühr\nÄpfel\n"
    assert not decoded.certain


def test_an_uncertain_reading_names_the_encoding_taken(parse: Parse) -> None:
    parsed = parse("浮汉鼠桂今\n".encode("gb18030"), "a.txt")  # the same bytes are Japanese in EUC-JP
    assert "GB18030" in parsed.manifest["warnings"][0]
    assert "fits more than one" in parsed.manifest["warnings"][0]


def test_an_encoding_that_was_found_is_reported(parse: Parse) -> None:
    assert parse("Größe und Maß".encode("cp1252"), "a.txt").manifest["warnings"] == [
        "The text is not UTF-8; it was read as windows-1252."
    ]


def test_a_text_loses_its_control_characters_and_no_word(parse: Parse) -> None:
    parsed = parse(b"Pum\x00pe and a bell\x07\n\x1b[1;31mERROR\x1b[0m disk full\none\x0ctwo\n", "a.log")
    assert [item.text for item in parsed.document.texts] == ["Pumpe and a bell\nERROR disk full\none\ntwo"]
    assert parsed.manifest["warnings"] == ["Control characters that no text has were left out of line 1."]


NO_TEXTS = [
    random.Random(7).randbytes(64),
    random.Random(7).randbytes(50_000),
    b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8" + bytes(400) + b"This program cannot be run",
    b"\x7fELF\x02\x01\x01" + bytes(200) + bytes(range(256)) * 8,
    b"\xff\xfe" + random.Random(7).randbytes(2000),
    b"\x00\x01\x02\x03" * 50,
]


@pytest.mark.parametrize(
    "data", NO_TEXTS, ids=["random", "long random", "program", "elf", "random after a mark", "numbers"]
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_what_is_no_text_is_refused(parse: Parse, data: bytes, name: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(data, name)
    assert caught.value.code is FailureCode.UNSUPPORTED_FORMAT


@given(st.binary(max_size=200), st.sampled_from([None, "utf-8", "utf-16", "shift_jis", "iso-2022-jp", "hz", "utf-7"]))
def test_any_bytes_are_decoded(data: bytes, declared: str | None) -> None:
    decoded = decode(data, declared)
    decoded.text.encode("utf-8")
    assert decoded.replaced >= 0


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=200))
def test_utf8_is_always_read_as_such(text: str) -> None:
    data = text.encode()
    if not {b"\x1b", b"~{"} & {data[i : i + n] for n in (1, 2) for i in range(len(data))} and text[:1] != "\ufeff":
        assert decode(data).text == text


@pytest.mark.parametrize(
    "text",
    [
        "It’s the client’s report, don’t worry. They’re here.",
        "He said “yes” – and the café’s owner didn’t.",
        "Artikel;Preis\nSchraube;1,20 €\nMutter;0,80 €\n",
        "€ 5.00\n€ 7.00\n",
        "siehe § 5 Abs. 2 und § 7",
        "A – B\n2010–2012\n",
        "• item one\n• item two",
        "area 20 m² and 30 m³, ±5 mm, ½ inch, 7 µm, 20 °C",
        "Copyright © 2020 ACME®",
        "wait… what…",
        "Dr.\xa0Smith, 5\xa0kg",
        "«citation» et «autre»",
        "Ø 12 mm, 25 £",
        "À la carte",
        "Ça va",
    ],
)
def test_marks_of_a_text_without_other_letters_are_those_of_windows(text: str) -> None:
    assert decode(text.encode("cp1252")).text == text


@pytest.mark.parametrize("codec", ["cp866", "koi8-r", "cp1251"])
def test_a_single_russian_word_is_no_row_of_marks(codec: str) -> None:
    assert decode("Счет".encode(codec)).text == "Счет"


def test_a_euro_sign_of_iso_8859_15_is_one() -> None:
    assert decode("Preis: 5 €\nPreis: 7 €\n".encode("iso8859-15")).text == "Preis: 5 €\nPreis: 7 €\n"
