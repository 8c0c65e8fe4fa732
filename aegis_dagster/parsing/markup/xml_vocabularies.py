"""What the elements of JATS, of the patents of the USPTO and of DocBook are."""

from typing import Final

from aegis_dagster.parsing.markup.xml_walk import Role, Vocabulary


def _roles(**names: str) -> dict[str, Role]:
    return {name: Role[role.upper()] for role, listed in names.items() for name in listed.split()}


# https://jats.nlm.nih.gov: article authoring, archiving and publishing.
_JATS = Vocabulary(
    roles={
        **_roles(
            title="title-group/article-title",
            section="sec abstract trans-abstract ack app ref-list glossary bio notes sub-article response floats-group",
            heading="title",
            block="journal-meta article-meta article-categories title-group subtitle trans-title contrib-group contrib"
            " aff author-notes pub-date permissions kwd-group funding-group counts history custom-meta-group p"
            " disp-quote boxed-text statement speech verse-group verse-line fig table-wrap table-wrap-foot"
            " supplementary-material media corresp attrib alt-text long-desc fn-group address sig-block product",
            list="list def-list",
            item="list-item def-item ref",
            caption="caption",
            formula="disp-formula",
            code="code preformat",
            note="fn",
        ),
        "caption/title": Role.BLOCK,
        **dict.fromkeys(("fig/label", "table-wrap/label"), Role.CAPTION),
        "table": Role.TABLE,
    },
    sections={"abstract": "Abstract", "ack": "Acknowledgements", "ref-list": "References"},
    hrefs=frozenset({"supplementary-material", "media", "inline-supplementary-material"}),
)
# Grants and applications since 2005; applications of 2001 to 2004; grants of 2002 to 2004 (names in capitals).
_USPTO = Vocabulary(
    roles={
        **_roles(
            title="invention-title title-of-invention B540",
            section="abstract description claims subdoc-abstract subdoc-description subdoc-claims"
            " SDOAB SDODE SDOCL section",
            heading="heading H",
            block="us-bibliographic-data-grant us-bibliographic-data-application p claim claim-text claim-statement"
            " publication-reference application-reference classifications-ipcr us-references-cited inventor applicant"
            " us-applicant agent assignee examiners related-documents us-claim-statement us-sequence-list-doc"
            " tables paragraph summary-of-invention domestic-filing-data technical-information continuity-data"
            " residence PARA CL CLM SDOBI B100 B200 B500 B560 B700 B720 B721 B730 B731 B740 PCIT",
            list="ul ol",
            item="li us-citation citation LI",
            formula="maths math",
            code="program-listing",
        ),
        "table": Role.TABLE,
    },
    sections={
        **dict.fromkeys(("abstract", "subdoc-abstract", "SDOAB"), "Abstract"),
        **dict.fromkeys(("description", "subdoc-description", "SDODE"), "Description"),
        **dict.fromkeys(("claims", "subdoc-claims", "SDOCL"), "Claims"),
    },
)
_DOCBOOK = Vocabulary(
    roles={
        **_roles(
            title="article/title book/title articleinfo/title bookinfo/title",
            section="part chapter appendix preface section sect1 sect2 sect3 sect4 sect5 simplesect refentry refsect1"
            " refsect2 refsect3 refsection glossary bibliography dedication acknowledgements topic",
            heading="title",
            block="info articleinfo bookinfo para simpara formalpara subtitle author note tip important warning caution"
            " abstract blockquote example figure informalfigure mediaobject sidebar epigraph legalnotice revhistory"
            " question answer qandaentry step refnamediv refsynopsisdiv cmdsynopsis",
            list="itemizedlist orderedlist variablelist simplelist segmentedlist calloutlist glosslist procedure",
            item="listitem varlistentry member glossentry bibliomixed biblioentry callout",
            formula="equation informalequation",
            code="programlisting screen literallayout synopsis",
            note="footnote indexterm",
        ),
        "varlistentry/listitem": Role.INLINE,
        **dict.fromkeys(("table", "informaltable"), Role.TABLE),
    },
)

VOCABULARIES: Final = {"jats": _JATS, "uspto": _USPTO, "docbook": _DOCBOOK}
