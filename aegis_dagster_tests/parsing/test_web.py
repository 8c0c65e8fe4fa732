"""Pages, Markdown and books: a word in each place that the format has is found, or told to be left out."""

import io
import zipfile

import pytest

from aegis_dagster.domain.left_out import Reason
from aegis_dagster.errors import DocumentError, FailureCode
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.web.reader import read
from aegis_dagster_tests.support.chunked_documents import chunk_document


def parsed(data: bytes | str, kind: str = "html") -> Parsed:
    return read(data.encode() if isinstance(data, str) else data, name=f"a.{kind}", kind=kind, options={})


def chunks_of(data: bytes | str, kind: str = "html") -> str:
    """The headings and texts of all chunks."""
    chunked = chunk_document(parsed(data, kind).document)
    return "\n".join(" / ".join([*chunk.headings, chunk.text]) for chunk in chunked.chunks)


def page(body: str, head: str = "") -> str:
    return f"<!doctype html><html><head>{head}</head><body><h1>Main</h1><p>first</p>{body}<p>last</p></body></html>"


PLACES = [
    "<header>Marrow</header>",
    "<footer>Marrow</footer>",
    "<nav><ul><li><a href='/x'>Marrow</a></li></ul></nav>",
    "<aside>Marrow</aside>",
    "Marrow directly in the body",
    "<div>Marrow<p>inner</p></div>",
    "<div><p>inner</p>Marrow</div>",
    "<h2>Marrow</h2>",
    "<h3><a href='x'>Marrow</a></h3>",
    "<p>in <b>Marrow</b></p>",
    "<ul><li>one<ul><li>Marrow</li></ul></li></ul>",
    "<ol><li>Marrow</ol>",
    "<dl><dt>Marrow</dt><dd>x</dd></dl>",
    "<dl><dt>x</dt><dd>Marrow</dd></dl>",
    "<pre>Marrow</pre>",
    "<blockquote>Marrow</blockquote>",
    "<address>Marrow</address>",
    "<details><summary>Marrow</summary>x</details>",
    "<details><summary>x</summary>Marrow</details>",
    "<dialog>Marrow</dialog>",
    "<my-card>Marrow</my-card>",
    "<del>Marrow</del>",
    "<center>Marrow</center>",
    "<p>one<br>Marrow</p>",
    "<img src='a.png' alt='Marrow'>",
    "<img src='a.png' title='Marrow'>",
    "<img src='a.png' alt='x' title='Marrow'>",
    "<a href='#'><img src='a.png' alt='Marrow'></a>",
    "<figure><img src='a.png' alt='x'><figcaption>Marrow</figcaption></figure>",
    "<figure><img src='a.png' alt='Marrow'><figcaption>x</figcaption></figure>",
    "<h4><img src='a.png' alt='Marrow'></h4>",
    "<map><area alt='Marrow'></map>",
    "<button>Marrow</button>",
    "<button aria-label='Marrow'></button>",
    "<a href='x' title='Marrow'><i class='icon'></i></a>",
    "<abbr title='Marrow'>M</abbr>",
    "<svg><title>Marrow</title><path d='M0'/></svg>",
    "<svg><text>Marrow</text></svg>",
    "<svg aria-label='Marrow'><path d='M0'/></svg>",
    "<math><mi>Marrow</mi><mo>=</mo><mn>2</mn></math>",
    "<math alttext='Marrow = 2'><mi>m</mi></math>",
    "<math><semantics><mi>m</mi><annotation encoding='application/x-tex'>Marrow</annotation></semantics></math>",
    "<ruby>x<rt>Marrow</rt></ruby>",
    "<form><label>Marrow</label><input></form>",
    "<form><fieldset><legend>Marrow</legend></fieldset></form>",
    "<form><input value='Marrow'></form>",
    "<input value='Marrow'>",
    "<input placeholder='Marrow'>",
    "<input type='submit' value='Marrow'>",
    "<input type='image' alt='Marrow'>",
    "<select><option>Marrow</option></select>",
    "<select><optgroup label='Marrow'><option>x</option></optgroup></select>",
    "<textarea>Marrow</textarea>",
    "<output>Marrow</output>",
    "<table><caption>Marrow</caption><tr><td>x</td></tr></table>",
    "<table><thead><tr><th>Marrow</th></tr></thead><tr><td>x</td></tr></table>",
    "<table><tr><td>Marrow</td></tr></table>",
    "<table><tr><td>x</td></tr><tfoot><tr><td>Marrow</td></tr></tfoot></table>",
    "<table><tr><td><table><tr><td>Marrow</td></tr></table></td></tr></table>",
    "<table><tr><td>x</td><td colspan='2'>Marrow</td></tr></table>",
    "<table><tr><td><img src='a.png' alt='Marrow'></td></tr></table>",
    "<table><tr><td><ul><li>Marrow</li></ul></td></tr></table>",
    "<table>Marrow<tr><td>x</td></tr></table>",
    "<table><form><tr><td>Marrow</td></tr></form></table>",
    "<table><tr>Marrow<td>x</td></tr></table>",
    "<iframe srcdoc='&lt;p&gt;Marrow&lt;/p&gt;'></iframe>",
    "<iframe src='x' title='Marrow'></iframe>",
    "<object>Marrow</object>",
    "<template shadowrootmode='open'>Marrow</template>",
    "<div style='opacity:0'>Marrow</div>",
    "<p>&#77;arrow &lt;escaped&gt;</p>",
]


@pytest.mark.parametrize("body", PLACES)
def test_a_word_in_each_place_of_a_page_is_in_a_chunk_once(body: str) -> None:
    assert chunks_of(page(body)).count("Marrow") == 1


@pytest.mark.parametrize(
    "body",
    [
        "<div hidden>Marrow</div>",
        "<div style='color:red; display: none'>Marrow</div>",
        "<div style='visibility:hidden'>Marrow</div>",
        "<span aria-hidden='true'>Marrow</span>",
        "<template>Marrow</template>",
        "<noscript>Marrow</noscript>",
    ],
)
def test_hidden_text_is_left_out_and_told(body: str) -> None:
    assert "Marrow" not in chunks_of(page(body))
    assert [(item.reason, item.text) for item in parsed(page(body)).left_out] == [(Reason.HIDDEN_TEXT, "Marrow")]


def test_a_page_for_browsers_without_scripts_is_read() -> None:
    assert "Marrow" in chunks_of("<html><body><div id=app></div><noscript><p>Marrow</p></noscript></body></html>")


def test_a_page_that_fades_in_is_not_hidden() -> None:
    assert "Marrow" in chunks_of("<html><body style='display:none'><p>Marrow</p></body></html>")


@pytest.mark.parametrize("body", ["<script>Marrow</script>", "<style>Marrow</style>", "<!-- Marrow -->"])
def test_what_is_no_text_is_none(body: str) -> None:
    assert "Marrow" not in chunks_of(page(body))


@pytest.mark.parametrize("heading", ["", "<h1>Other</h1>", "<h2>Other</h2>", "<h1>marrow  <b>Prices</b></h1>"])
def test_the_title_of_a_page_is_there_once(heading: str) -> None:
    data = f"<html><head><title>Marrow\n Prices</title></head><body>{heading}<p>text</p></body></html>"
    chunked = chunk_document(parsed(data).document)
    assert chunked.markdown.casefold().replace("**", "").count("marrow prices") == 1
    if heading in ("", "<h2>Other</h2>"):
        assert chunked.chunks[-1].headings[0] == "Marrow Prices"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("<p>H<sub>2</sub>O</p>", "H2O"),
        ("<p>12 m<sup>2</sup> of it</p>", "12 m² of it"),
        ("<p>in<b>ter</b>word</p>", "interword"),
        ("<p>config.max<wbr>Documents</p>", "config.maxDocuments"),
        ("<p>a claim<sup>1</sup></p>", "a claim 1"),
        ("<p><ruby>漢字<rp>(</rp><rt>かんじ</rt><rp>)</rp></ruby>を</p>", "漢字(かんじ)を"),
    ],
)
def test_words_stay_whole(body: str, text: str) -> None:
    assert text in chunks_of(page(body))


def test_a_page_is_read_in_the_encoding_that_it_declares() -> None:
    data = page("<p>Проверка</p>", '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">').encode(
        "koi8-r"
    )
    assert "Проверка" in chunks_of(data)
    assert parsed(data).warnings == ()


def test_a_page_that_declares_the_wrong_encoding_is_read_in_its_own() -> None:
    data = page("<p>Prüfgebühr für Geräte</p>", '<meta charset="utf-8">').encode("cp1252")
    assert "Prüfgebühr für Geräte" in chunks_of(data)
    assert "utf-8" in parsed(data).warnings[0]


@pytest.mark.parametrize(
    "body",
    [
        "<p>word " * 1200,
        "<ul>" + "<li>word " * 1200,
        "<table>" + "<tr><td>word" * 1200,
        "<dl>" + "<dt>word<dd>word " * 600,
        "<div>" * 1200 + "word " * 1200,
        "<b>" * 1200 + "word " * 1200,
        "<blockquote>word " * 1200,
    ],
    ids=lambda body: body[:16],
)
def test_elements_without_an_end_do_not_nest_without_bound(body: str) -> None:
    document = parsed(f"<html><body>{body}</body></html>").document
    cells = sum(cell.text.count("word") for table in document.tables for cell in table.data.table_cells)
    assert sum(item.text.count("word") for item in document.texts) + cells >= body.count("word")


MARKDOWN_PLACES = [
    "# Marrow",
    "Marrow\n======",
    "**Marrow**",
    "`Marrow`",
    "```python\nMarrow\n```",
    "    Marrow",
    "- Marrow",
    "1. Marrow",
    "- [x] Marrow",
    "- [ ] one\n  - Marrow",
    "> Marrow",
    "> > Marrow",
    "~~Marrow~~",
    "[Marrow](http://a.example)",
    '[x](http://a.example "Marrow")',
    '[x][r]\n\n[r]: http://a.example "Marrow"',
    "[Marrow][r]\n\n[r]: http://a.example",
    "![Marrow](a.png)",
    '![x](a.png "Marrow")',
    "| a | b |\n| - | - |\n| x | Marrow |",
    "| a | b |\n| - | - |\n| x | y | Marrow |",
    "text\n| a | b |\n| - | - |\n| x | Marrow |",
    "$Marrow^2$",
    "x[^1]\n\n[^1]: Marrow",
    "x[^1]\n\n[^1]: one\n[^2]: Marrow",
    "[^unused]: Marrow note",
    "<div>Marrow</div>",
    "<details><summary>Marrow</summary>x</details>",
    "<img src='a.png' alt='Marrow'>",
    "<Marrow>",
    "a line\n<your-Marrow>\nanother",
    "call <your-Marrow> here",
    "List<Marrow> and Map<String, List<Integer>>",
    "- use <Marrow>",
    "| <Marrow> | b |\n| - | - |\n| x | y |",
    "<div>\n<your-Marrow>\n</div>",
    "---\nauthor: Marrow\n---\n\ntext",
    "---\ntitle: Marrow\n---\n\n# Other",
]


@pytest.mark.parametrize("text", MARKDOWN_PLACES)
def test_a_word_in_each_place_of_markdown_is_in_a_chunk_once(text: str) -> None:
    found = chunk_document(parsed(f"{text}\n\nlast\n", "md").document).markdown
    assert found.count("Marrow") == 1


def test_the_title_of_a_front_matter_stands_above_a_text_without_headings() -> None:
    chunked = chunk_document(parsed("---\ntitle: 'Marrow'\ndate: 2024\n---\n\ntext\n", "md").document)
    assert chunked.chunks[-1].headings == ("Marrow",)
    assert "date: 2024" in chunked.chunks[-1].text


@pytest.mark.parametrize(
    "text",
    [
        "<your-token>",
        "List<String>",
        "std::vector<int>",
        "cp <source> <output>",
        "<T> and <K, V>",
        "x < y and z > w",
        "`<b>`",
        "<http-method>",
    ],
)
def test_angle_brackets_in_prose_are_kept(text: str) -> None:
    assert text in chunks_of(f"Type {text} here, please.\n", "md")


def test_markdown_after_a_placeholder_is_still_markdown() -> None:
    assert "**bold**" in chunks_of("<your-token>\nis **bold**\n", "md")


@pytest.mark.parametrize("text", ["".join("  " * up + "- word\n" for up in range(200)), "> " * 2000 + "word\n"])
def test_markdown_that_nests_without_end_is_read(text: str) -> None:
    found = "".join(item.text for item in parsed(text, "md").document.texts)
    assert found.count("word") == text.count("word")


def test_html_in_markdown_stays_html() -> None:
    found = chunks_of("one <b>two</b> three<br>four <sub>x</sub>\n\n<p align=center>five</p>\n", "md")
    assert "**two**" in found
    assert "<" not in found


def test_code_keeps_its_language_and_its_brackets() -> None:
    assert '```\nprint("<b>")\n```' in chunks_of('```python\nprint("<b>")\n```\n', "md")


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)


def book(parts: dict[str, bytes | str | None], spine: list[str], nav: str = "") -> bytes:
    """A book of the parts (a missing one: None), named in the manifest in this order."""
    out = io.BytesIO()
    kind = 'media-type="application/xhtml+xml"'
    items = "".join(
        f'<item id="{name}" href="{name}" {kind} properties="{"nav" if name == nav else ""}"/>' for name in parts
    )
    refs = "".join(f'<itemref idref="{name}"/>' for name in spine)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr(
            "OEBPS/book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
            "<dc:title>Orchard</dc:title><dc:creator>Ada Quince</dc:creator></metadata>"
            f"<manifest>{items}</manifest><spine>{refs}</spine></package>",
        )
        for name, content in parts.items():
            if content is not None:
                archive.writestr(f"OEBPS/{name}", content)
    return out.getvalue()


def part(body: str, encoding: str = "utf-8", title: str = "t") -> bytes:
    head = f'<?xml version="1.0" encoding="{encoding}"?><html><head><title>{title}</title></head>'
    return f"{head}<body>{body}</body></html>".encode(encoding)


def test_every_part_of_a_book_is_read_in_order_and_once() -> None:
    data = book(
        {
            "nav.xhtml": part("<nav><ol><li>Contents</li></ol></nav>"),
            "two.xhtml": part("<h2>Second</h2><p>Zwölf für alle</p>", "iso-8859-1"),
            "one.xhtml": part(
                '<h2>First</h2><p>see <a href="notes.xhtml#a">1</a></p>' + '<img src="a.png" alt="Pictured"/>'
            ),
            "wide.xhtml": part("<p>Sixteen</p>", "utf-16").replace(
                "<title>t".encode("utf-16-le"), "<title>Wide".encode("utf-16-le")
            ),
            "notes.xhtml": part("<aside>Noted</aside><p hidden=''>Concealed</p>"),
            "gone.xhtml": None,
        },
        ["one.xhtml", "two.xhtml", "wide.xhtml", "gone.xhtml"],
        nav="nav.xhtml",
    )
    found = chunk_document(parsed(data, "epub").document).markdown
    words = ["Orchard", "Ada Quince", "First", "Pictured", "Second", "Zwölf für alle", "Wide", "Sixteen", "Noted"]
    assert [found.count(word) for word in words] == [1] * len(words)
    assert sorted(words, key=found.index) == words
    assert "Contents" not in found
    assert parsed(data, "epub").warnings == ("The part OEBPS/gone.xhtml is missing or damaged; the others were read.",)
    assert [item.text for item in parsed(data, "epub").left_out] == ["Concealed"]


def test_a_protected_book_is_refused_as_such() -> None:
    data = io.BytesIO(book({"one.xhtml": bytes(range(256)) * 20}, ["one.xhtml"]))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("META-INF/encryption.xml", "<encryption/>")
    with pytest.raises(DocumentError) as caught:
        parsed(data.getvalue(), "epub")
    assert caught.value.code is FailureCode.ENCRYPTED_FILE


def test_a_book_without_its_contents_is_damaged() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
    with pytest.raises(DocumentError) as caught:
        parsed(out.getvalue(), "epub")
    assert caught.value.code is FailureCode.CORRUPT_FILE
