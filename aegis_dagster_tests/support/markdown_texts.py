"""Markdown texts for Hypothesis: every construct, in each other, and characters without sense."""

from hypothesis import strategies as st

_WORDS = st.one_of(
    st.just("word"),
    st.sampled_from(
        ["ne", "1.5", "a_b", "snake_case_", "Über", "日本", "x²", "don’t", "“so”", "…", "—", "&amp;", "&copy"]
    ),
    st.sampled_from(["C&A", "a|b", "~3", "5<6", "\u00a0", "!", ":", "(x)", "]", "[", "\\", "\\*", "`", "*", "_", "__"]),
)
_ADDRESSES = st.sampled_from(
    ["http://a.org/x?y=1&z=2", "x.md", "#part", "<a b>", "", "javascript:x", "mailto:a@b.org", "file:///x", "a(b)c"]
)


def _inline(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    marked = [
        inner.map(pattern.format)
        for pattern in ("*{}*", "**{}**", "_{}_", "__{}__", "***{}***", "~~{}~~", "~{}~", "un*{}*able", "a**{}**")
    ]
    links = st.tuples(inner, _ADDRESSES, st.sampled_from(["", ' "title"', " 'T'"]))
    return st.one_of(
        *marked,
        links.map(lambda link: f"[{link[0]}]({link[1]}{link[2]})"),
        inner.map(lambda text: f"[{text}][named]"),
        inner.map(lambda text: f"`{text}`"),
        st.lists(inner, min_size=2, max_size=4).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map("".join),
    )


_ON_PAGES = st.sampled_from(["<b>x</b>", "<br>", "![alt](x.png)", "&#57344;"])
_LINES = st.recursive(
    st.one_of(
        _WORDS,
        st.lists(_WORDS, min_size=3, max_size=12).map(" ".join),
        st.sampled_from(["https://a.org/b.", "www.a.org", "a@b.org", "<http://a.org>", "<token>", "List<String>"]),
        st.sampled_from(["a  \nb", "a\\\nb", "a\nb", "a\n    b", "a\n\tb", "[named]", "[^1]"]),
        st.one_of(_WORDS, _WORDS, _ON_PAGES),
    ),
    _inline,
    max_leaves=5,
)
_CODE = st.one_of(_LINES, st.sampled_from(["print('<b>')\n\nx = 1", "SELECT a FROM b WHERE c", "", "   ", '{"a": 1}']))


def _indented(text: str, by: str) -> str:
    return text.replace("\n", f"\n{by}")


def _listed(entries: list[str], mark: str, apart: str) -> str:
    return apart.join(f"{mark} {_indented(entry, ' ' * (len(mark) + 1))}" for entry in entries)


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    entries = st.lists(inner, min_size=1, max_size=3)
    marks = st.sampled_from(["-", "*", "+", "1.", "3.", "0)", "- [ ]", "- [x]"])
    return st.one_of(
        inner.map(lambda text: f"> {_indented(text, '> ')}"),
        st.tuples(entries, marks, st.sampled_from(["\n", "\n\n"])).map(lambda each: _listed(*each)),
        inner.map(lambda text: f"[^1]: {_indented(text, '    ')}"),
        st.lists(inner, min_size=2, max_size=3).map("\n\n".join),
        st.lists(inner, min_size=2, max_size=3).map("\n".join),
    )


_BLOCKS = st.recursive(
    st.one_of(
        _LINES,
        _LINES,
        st.tuples(st.integers(1, 7), _LINES).map(lambda each: f"{'#' * each[0]} {each[1]}"),
        st.tuples(_LINES, st.sampled_from(["===", "---"])).map("\n".join),
        st.tuples(st.sampled_from(["", "python", "c++", "no-such", "a b", "ü"]), _CODE).map(
            lambda each: f"```{each[0]}\n{each[1]}\n```"
        ),
        _CODE.map(lambda code: f"    {_indented(code, '    ')}"),
        st.sampled_from(["***", "---", "[named]: http://a.org 'T'", "", "\tx", "- a\n  ===", "1) b"]),
        st.one_of(_LINES, _LINES, st.sampled_from(["| a | b |\n|---|---|\n| 1 | 2 |", "<div>x</div>"])),
    ),
    _nested,
    max_leaves=8,
)
_SENSELESS = st.text(st.sampled_from(list("ab1 \n\n\t*_`~[]()<>#>-+=.!:&|\\\"'^@/é日")), max_size=60)


def markdown_texts() -> st.SearchStrategy[str]:
    """Texts of up to a dozen blocks."""
    return st.one_of(st.lists(_BLOCKS, min_size=1, max_size=5).map("\n\n".join), _BLOCKS, _SENSELESS)
