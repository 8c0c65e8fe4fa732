"""What LaTeX's commands and environments are to a reader, and the characters that some stand for. Pure."""

import unicodedata
from typing import Final

SECTIONS: Final = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph")
FORMULAS: Final = frozenset(
    name + star
    for name in ("equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "flalign", "alignat")
    for star in ("", "*")
)
LISTS: Final = frozenset({"itemize", "enumerate", "description", "compactitem", "compactenum", "inparaenum", "tasks"})
# Tables -> how many groups stand before their rows.
TABLES: Final = {
    **dict.fromkeys(("tabular", "longtable", "array", "supertabular", "tabu", "longtabu", "tblr"), 1),
    **dict.fromkeys(("tabular*", "tabularx", "tabulary", "xltabular"), 2),
}
DRAWINGS: Final = frozenset({"tikzpicture", "picture", "pgfpicture", "forest", "axis"})  # shown as their source
NAMED: Final = {"abstract": "Abstract", "thebibliography": "References", "acknowledgements": "Acknowledgements"}
NOTES: Final = frozenset({"footnote", "footnotetext", "thanks", "marginpar", "endnote", "sidenote", "todo"})
INCLUDES: Final = frozenset({"input", "include", "subfile", "import", "subimport", "lstinputlisting", "verbatiminput"})
# Commands whose arguments are no text -> how many they take.
SETTINGS: Final = {
    **dict.fromkeys(
        (
            *("label", "vspace", "hspace", "usepackage", "RequirePackage", "documentclass", "pagestyle", "setlist"),
            *("bibliographystyle", "color", "pagenumbering", "geometry", "hypersetup", "graphicspath", "cline"),
            *("newpage", "addlinespace", "sisetup", "usetikzlibrary", "counterwithin", "lstset", "usetheme", "vskip"),
            *("phantom", "hphantom", "vphantom", "selectlanguage", "captionsetup", "bibliography", "nocite"),
            *("thispagestyle", "cmidrule"),
        ),
        1,
    ),
    **dict.fromkeys(
        ("setlength", "addtolength", "setcounter", "addtocounter", "fontsize", "rule", "setmainfont", "newlength"), 2
    ),
    **dict.fromkeys(("definecolor", "addcontentsline"), 3),
}
# The first argument only says how the second one looks.
SECOND: Final = frozenset({"textcolor", "colorbox", "parbox", "raisebox", "scalebox", "resizebox", "foreignlanguage"})
REFERENCES: Final = frozenset(
    {"cite", "citep", "citet", "autocite", "parencite", "textcite", "ref", "eqref", "autoref"}
) | {"pageref", "cref", "Cref", "nameref"}
SPACES: Final = frozenset({"quad", "qquad", "newline", "linebreak", "thinspace", "enspace", "hfill", "tab", "space"})
SYMBOLS: Final = {
    "ss": "ß", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "aa": "å", "AA": "Å",
    "i": "i", "j": "j", "ldots": "…", "dots": "…", "textellipsis": "…", "S": "§", "P": "¶", "copyright": "©",
    "textcopyright": "©", "textregistered": "®", "texttrademark": "™", "pounds": "£", "euro": "€", "texteuro": "€",
    "textdegree": "°", "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textbar": "|",
    "textless": "<", "textgreater": ">", "textendash": "–", "textemdash": "—", "LaTeX": "LaTeX", "TeX": "TeX",
    "slash": "/", "lbrace": "{", "rbrace": "}", "textquotedblleft": "“", "textquotedblright": "”", "textbullet": "•",
}  # fmt: skip
_MARKS: Final = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "c": "\u0327", "v": "\u030c", "H": "\u030b", "u": "\u0306",
    "k": "\u0328", "r": "\u030a", "d": "\u0323", "b": "\u0331",
}  # fmt: skip
ACCENTS: Final = frozenset(_MARKS)


def accented(mark: str, letters: str) -> str:
    """The letters, the first of them with an accent."""
    return unicodedata.normalize("NFC", letters[:1] + _MARKS[mark]) + letters[1:] if letters else ""
