"""Small files of the formats that are markup, each with a word of its own in every place that the format has.

`PLACES`: file name -> (bytes, words that are shown, words that are left out by reason).
"""

import io
import zipfile
from typing import Final

from aegis_dagster.domain.left_out import Reason

_NAMESPACES: Final = " ".join(
    f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for prefix, name in {
        "office": "office", "text": "text", "table": "table", "draw": "drawing", "style": "style",
        "svg": "svg-compatible", "fo": "xsl-fo-compatible", "presentation": "presentation", "chart": "chart",
    }.items()
) + ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xlink="http://www.w3.org/1999/xlink"'  # fmt: skip
_ODF: Final = "application/vnd.oasis.opendocument."


def odf_content(body: str, styles: str = "") -> str:
    """The part `content.xml`."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMESPACES} office:version="1.3">'
        f"<office:automatic-styles>{styles}</office:automatic-styles><office:body>{body}</office:body>"
        "</office:document-content>"
    )


def odf(kind: str, body: str, styles: str = "", masters: str = "", **parts: str | bytes) -> bytes:
    """A package. kind: "text", "spreadsheet-template", ...; parts: further ones, their `/` written as `__`."""
    members: dict[str, str | bytes] = {
        "content.xml": odf_content(body, styles),
        "styles.xml": f"<office:document-styles {_NAMESPACES}><office:master-styles>{masters}</office:master-styles>"
        "</office:document-styles>",
        **{name.replace("__", "/"): content for name, content in parts.items()},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", f"{_ODF}{kind}", zipfile.ZIP_STORED)
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def flat_odf(kind: str, body: str, styles: str = "") -> bytes:
    """The same as one file of XML."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<office:document {_NAMESPACES} office:version="1.3"'
        f' office:mimetype="{_ODF}{kind}"><office:automatic-styles>{styles}</office:automatic-styles>'
        f"<office:body>{body}</office:body></office:document>"
    ).encode()


ODT_BODY: Final = """<office:text>
<text:tracked-changes><text:changed-region><text:deletion><office:change-info><dc:creator>Ada</dc:creator>
</office:change-info><text:p>deletedword</text:p></text:deletion></text:changed-region></text:tracked-changes>
<text:p text:style-name="P1">titleword</text:p><text:h text:outline-level="1">headingword</text:h>
<text:p>para<text:span>word</text:span><text:note text:note-class="footnote"><text:note-citation>1</text:note-citation>
<text:note-body><text:p>footnoteword</text:p></text:note-body></text:note> goes on
<text:note text:note-class="endnote"><text:note-citation>i</text:note-citation><text:note-body>
<text:p>endnoteword</text:p>
</text:note-body></text:note><office:annotation><dc:creator>authorword</dc:creator><dc:date>2026-01-01</dc:date>
<text:p>commentword</text:p></office:annotation><draw:frame><draw:text-box><text:p>boxword</text:p></draw:text-box>
<svg:title>alttitleword</svg:title><svg:desc>altword</svg:desc></draw:frame><draw:custom-shape>
<text:p>shapeword</text:p>
</draw:custom-shape><text:a xlink:href="http://example.org">linkword</text:a>
<text:span text:style-name="T1">secretword</text:span>
<text:ruby><text:ruby-base>baseword</text:ruby-base><text:ruby-text>rubyword</text:ruby-text></text:ruby></text:p>
<text:list><text:list-item><text:p>itemword</text:p><text:list><text:list-item><text:p>deepword</text:p>
</text:list-item>
</text:list></text:list-item></text:list>
<table:table table:name="T"><table:table-header-rows><table:table-row><table:table-cell><text:p>headcellword</text:p>
</table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table-header-rows>
<table:table-row><table:table-cell><text:p>cellword</text:p><table:table table:is-sub-table="true"><table:table-row>
<table:table-cell><text:p>innercellword</text:p></table:table-cell></table:table-row></table:table></table:table-cell>
<table:table-cell><text:p>x<office:annotation><text:p>cellcommentword</text:p></office:annotation></text:p>
</table:table-cell>
</table:table-row></table:table>
<text:section><text:p>sectionword</text:p></text:section>
<text:p><draw:frame><draw:object xlink:href="./Object 1"/></draw:frame></text:p>
</office:text>"""
ODT_STYLES: Final = (
    '<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>'
    '<style:style style:name="T1" style:family="text"><style:text-properties text:display="none"/></style:style>'
)
_MASTERS: Final = (
    '<style:master-page style:name="Standard"><style:header><text:p>headerword</text:p></style:header>'
    "<style:footer><text:p>footerword</text:p></style:footer><style:header-left><text:p>leftheaderword</text:p>"
    "</style:header-left></style:master-page>"
)
_CHART: Final = odf_content(
    "<office:chart><chart:chart><chart:title><text:p>charttitleword</text:p></chart:title><table:table>"
    "<table:table-row><table:table-cell><text:p>chartcellword</text:p></table:table-cell></table:table-row>"
    "</table:table></chart:chart></office:chart>"
)


def _cell(text: str, more: str = "") -> str:
    return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"


_ODS_BODY: Final = f"""<office:spreadsheet>
<table:table table:name="sheetnameword"><table:table-column/><table:table-column table:visibility="collapse"/>
<table:table-row>{_cell("headcellword")}{_cell("hiddencolumnword")}{_cell("third")}</table:table-row>
<table:table-row><table:table-cell office:value-type="percentage" office:value="0.075"><text:p>7.5 %</text:p>
<office:annotation><dc:creator>Ada</dc:creator><text:p>commentword</text:p></office:annotation></table:table-cell>
<table:table-cell/><table:table-cell table:formula="of:=SUM([.A1:.A2])"/></table:table-row>
<table:table-row table:visibility="collapse">{_cell("hiddenrowword")}</table:table-row>
<table:table-row><table:table-cell table:number-columns-repeated="16000"/>{_cell("farword")}</table:table-row>
<table:table-row table:number-rows-repeated="1048000"><table:table-cell/></table:table-row>
<table:shapes><draw:frame><draw:text-box><text:p>boxword</text:p></draw:text-box></draw:frame></table:shapes>
</table:table>
<table:table table:name="Second"><table:table-row>{_cell("secondword")}</table:table-row></table:table>
<table:table table:name="Hidden" table:style-name="ta2"><table:table-row>{_cell("hiddensheetword")}</table:table-row>
</table:table></office:spreadsheet>"""
_ODS_STYLES: Final = (
    '<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/></style:style>'
)
_ODP_BODY: Final = """<office:presentation><presentation:footer-decl>footerword</presentation:footer-decl>
<draw:page draw:name="page1"><draw:frame presentation:class="title"><draw:text-box><text:p>titleword</text:p>
</draw:text-box></draw:frame><draw:frame presentation:class="outline"><draw:text-box><text:list><text:list-item>
<text:p>bulletword</text:p></text:list-item></text:list></draw:text-box></draw:frame>
<draw:g><svg:desc>groupaltword</svg:desc><draw:custom-shape><text:p>groupedword</text:p></draw:custom-shape></draw:g>
<draw:frame><table:table><table:table-row><table:table-cell><text:p>cellword</text:p></table:table-cell>
</table:table-row>
</table:table></draw:frame><presentation:notes><draw:frame><draw:text-box><text:p>notesword</text:p></draw:text-box>
</draw:frame></presentation:notes><office:annotation><text:p>commentword</text:p></office:annotation></draw:page>
<draw:page draw:name="pagenameword"><draw:line><text:p>lineword</text:p></draw:line></draw:page>
</office:presentation>"""

_JATS: Final = b"""<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96)//EN" "http://127.0.0.1:9/JATS.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><journal-meta><journal-title>journalword</journal-title>
</journal-meta>
<article-meta><article-id>doiword</article-id><title-group><article-title>titleword</article-title>
<subtitle>subtitleword</subtitle>
</title-group><contrib-group><contrib><name><surname>surnameword</surname><given-names>givenword</given-names></name>
</contrib>
</contrib-group><aff>affiliationword</aff><abstract><p>abstractword &alpha;</p></abstract><kwd-group>
<kwd>keyword1</kwd></kwd-group>
</article-meta></front><body><sec><label>2</label><title>sectionword</title><p>paraword<fn><p>footnoteword</p>
</fn> H<sub>2</sub>O</p>
<list><list-item><p>itemword</p></list-item></list><fig><label>Figure 1</label><caption><p>figurecaptionword</p>
</caption>
<alt-text>altword</alt-text></fig><table-wrap><label>Table 1</label><caption><p>tablecaptionword</p></caption><table>
<thead><tr>
<th>headcellword</th><th>b</th></tr></thead><tbody><tr><td>cellword</td><td>innerword</td></tr></tbody></table>
<table-wrap-foot>
<fn><p>tablefootword</p></fn></table-wrap-foot></table-wrap><disp-formula><tex-math>formulaword</tex-math>
</disp-formula>
<boxed-text><p>boxword</p></boxed-text><preformat>codeword</preformat>
<supplementary-material xlink:href="supplementword.zip">
<caption><p>supplementcaptionword</p></caption></supplementary-material></sec></body><back><ack><p>thanksword</p>
</ack><ref-list>
<ref><label>1</label><element-citation><name><surname>citedword</surname></name><year>1999</year></element-citation>
</ref>
<ref><mixed-citation>mixedword, 2001</mixed-citation></ref></ref-list><fn-group><fn><p>backnoteword</p></fn>
</fn-group></back></article>"""
_USPTO: Final = b"""<?xml version="1.0"?><!DOCTYPE us-patent-grant SYSTEM "us-patent-grant-v45.dtd" [ ]>
<us-patent-grant><us-bibliographic-data-grant><publication-reference><document-id><doc-number>numberword</doc-number>
</document-id>
</publication-reference><invention-title>titleword</invention-title><us-references-cited><us-citation>
<patcit>citedword</patcit>
</us-citation></us-references-cited><inventors><inventor><addressbook><last-name>inventorword</last-name>
</addressbook></inventor>
</inventors></us-bibliographic-data-grant><abstract><p>abstractword</p></abstract><description>
<heading level="1">headingword</heading>
<p>descriptionword<tables><table><tgroup cols="2"><colspec colname="1"/><colspec colname="2"/><thead><row>
<entry namest="1"
 nameend="2">headcellword</entry></row></thead><tbody><row><entry>cellword</entry><entry>b</entry></row></tbody>
</tgroup></table>
</tables> afterword</p><p><maths><math><mi>formulaword</mi></math></maths></p></description>
<us-claim-statement>What is claimed:
statementword</us-claim-statement><claims><claim num="00001">
<claim-text>1. A claimword comprising <claim-text>a partword</claim-text>
</claim-text></claim></claims></us-patent-grant>"""
_DOCBOOK: Final = b"""<?xml version="1.0"?><article xmlns="http://docbook.org/ns/docbook"><info>
<title>titleword</title><author>
<personname>authorword</personname></author></info><section><title>sectionword</title><para>paraword<footnote>
<para>footnoteword
</para></footnote></para><note><para>noteword</para></note><itemizedlist><listitem><para>itemword</para></listitem>
</itemizedlist>
<variablelist><varlistentry><term>termword</term><listitem><para>definitionword</para></listitem></varlistentry>
</variablelist>
<programlisting>codeword</programlisting><table><title>captionword</title><tgroup cols="1"><thead><row>
<entry>headcellword</entry>
</row></thead><tbody><row><entry>cellword</entry></row></tbody></tgroup></table></section></article>"""
_XML: Final = b"""<?xml version="1.0" encoding="ISO-8859-1"?><order id="attributeword"><!-- remark -->
<number>numberword</number>
<line><item>itemword</item><amount currency="EUR">amountword</amount></line>
<note>mixed <b>boldword</b> tailword \xe9</note></order>"""
_ASCIIDOC: Final = b"""= titleword
Ada authorword <ada@example.org>
v1, revisionword
:product: attributeword

// commentword
Intro {product} *boldword* _italicword_ `codeword`.footnote:[footnoteword] https://example.org[linkword]

== headingword

NOTE: admonitionword

[WARNING]
====
blockwarningword
====

.blocktitleword
[source,java]
----
int listingword; // keptword
----

* itemword
** deepword
* more
+
attachedword

. numberedword

Term termword:: definitionword

.captionword
[cols="1,2*",options="header"]
|===
|headcellword |b |c
|cellword |b1
|lastcellword
2+|spanword |x
|===

image::pictureword.png[altword,200]

include::includedword.adoc[]

Olderheadingword
----------------

[quote, quoteauthorword]
____
quoteword
____

[stem]
++++
formulaword
++++

 literalword

////
blockcommentword
////
"""
_LATEX: Final = rb"""\documentclass{article}
\newcommand{\company}{macroword}
\title{titleword}\author{authorword\thanks{thanksword}}
\begin{document}\maketitle
% commentword
\begin{abstract}abstractword 50\% of \company. % tailcommentword
\end{abstract}
\section{sectionword}
Paraword\footnote{footnoteword \emph{emphasisword}} $x^{mathword}$ \cite{citeword} \unknown{argword}{secondargword}
caf\'e.
\begin{itemize}\item itemword \item[termword] more \begin{enumerate}\item deepword\end{enumerate}\end{itemize}
\begin{table}[htbp]\caption{tablecaptionword}\begin{tabular}{l|c}\hline headcellword & b \\
\multicolumn{2}{c}{spanword} \\
cellword & a \& ampword \end{tabular}\end{table}
\begin{figure}\includegraphics[alt={altword}]{pictureword.png}\caption{figurecaptionword}\end{figure}
\begin{equation}\label{e} equationword \end{equation} \[ displayword \]
\begin{verbatim}
codeword % keptword
\end{verbatim}
\begin{theorem}[theoremnameword] theoremword \end{theorem}
\input{includedword} \href{http://example.org/urlword}{linkword} \verb|verbword| \textcolor{red}{colorword}
\begin{comment}
commentenvironmentword
\end{comment}
\begin{thebibliography}{9}\bibitem{key} bibliographyword\end{thebibliography}
\appendix\section{appendixword}
\end{document}
"""
_VTT: Final = b"""WEBVTT - titleword
headword

NOTE
noteword

cuenameword
00:00:01.000 --> 00:00:04.000 position:10%
<v.loud Ada speakerword>cueword <i>italicword</i> a &amp; b

00:01:04,500 --> 00:01:05.000
- secondword
- thirdword
"""

_SHOWN_ODT: Final = (
    "title heading para footnote endnote author comment box alttitle alt shape link base ruby item deep headcell cell"
    " innercell cellcomment section charttitle chartcell header footer leftheader"
)
_SHOWN_ODP: Final = "title bullet groupalt grouped cell notes comment pagename line footer"


def _words(names: str) -> tuple[str, ...]:
    return tuple(f"{name}word" for name in names.split())


PLACES: Final[dict[str, tuple[bytes, tuple[str, ...], dict[str, Reason]]]] = {
    "a.odt": (
        odf("text", ODT_BODY, ODT_STYLES, _MASTERS, **{"Object 1__content.xml": _CHART}),
        _words(_SHOWN_ODT),
        {"deletedword": Reason.DELETED_TEXT, "secretword": Reason.HIDDEN_TEXT},
    ),
    "a.ods": (
        odf("spreadsheet", _ODS_BODY, _ODS_STYLES),
        (*_words("sheetname headcell far box second"), "7.5 %", "=SUM([.A1:.A2])", "Comment at A2 by Ada: commentword"),
        {
            "hiddencolumnword": Reason.HIDDEN_COLUMN,
            "hiddenrowword": Reason.HIDDEN_ROW,
            "hiddensheetword": Reason.HIDDEN_SHEET,
        },
    ),
    "a.odp": (odf("presentation", _ODP_BODY), _words(_SHOWN_ODP), {}),
    "a.nxml": (
        _JATS,
        (
            *_words(
                "journal doi title subtitle surname given affiliation abstract section para footnote item figurecaption"
                " alt tablecaption headcell cell inner tablefoot formula box code supplement supplementcaption"
                " thanks cited mixed backnote"
            ),
            "keyword1",
            "H2O",
            "α",
            "2 sectionword",
        ),
        {},
    ),
    "patent.xml": (
        _USPTO,
        _words(
            "number title cited inventor abstract heading description headcell cell after formula statement claim part"
        ),
        {},
    ),
    "manual.xml": (
        _DOCBOOK,
        _words("title author section para footnote note item term definition code caption headcell cell"),
        {},
    ),
    "order.xml": (
        _XML,
        (*_words("attribute number item amount bold tail"), "number: numberword", "currency: EUR", "é"),
        {},
    ),
    "a.adoc": (
        _ASCIIDOC,
        _words(
            "title author revision attribute bold italic code footnote link heading admonition blockwarning blocktitle"
            " listing kept item deep attached numbered term definition caption headcell cell lastcell span picture alt"
            " included Olderheading quoteauthor quote formula literal"
        ),
        {"commentword": Reason.HIDDEN_TEXT, "blockcommentword": Reason.HIDDEN_TEXT},
    ),
    "a.tex": (
        _LATEX,
        (
            *_words(
                "title author thanks abstract macro section Para footnote emphasis math cite arg secondarg item"
                " term deep tablecaption headcell span cell amp alt picture figurecaption equation display code kept"
                " theoremname theorem included url link verb color bibliography appendix"
            ),
            "café",
            "50%",
        ),
        {
            "commentword": Reason.HIDDEN_TEXT,
            "tailcommentword": Reason.HIDDEN_TEXT,
            "commentenvironmentword": Reason.HIDDEN_TEXT,
        },
    ),
    "a.vtt": (
        _VTT,
        (*_words("title head note cuename speaker cue italic second third"), "00:00:01.000", "00:01:05.000", "a & b"),
        {},
    ),
}
