"""Reads LaTeX without running it: no file is read beside it, and what is not known is taken for its arguments' text.

docling's reader opens the files that a document names, and loses captions, notes and the author's own commands.
"""

import re
from typing import Any, Final

from aegis_dagster.domain.left_out import LeftOut, Reason
from aegis_dagster.parsing.markup import latex_words as words
from aegis_dagster.parsing.markup.building import Builder, Cell
from aegis_dagster.parsing.markup.latex_source import VERBATIM, expanded, pairs, without_comments
from aegis_dagster.parsing.readers import Parsed
from aegis_dagster.parsing.text.encodings import decode

_ROUTE: Final = "markup"
_DEEPEST: Final = 50  # groups in groups; deeper ones are shown as written
_TOKEN = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[{}$~&]|\n[ \t]*\n\s*|---?|``|''", re.DOTALL)
_OPTION = re.compile(r"\s?\[([^\[\]{}]*(?:\{[^{}]*\}[^\[\]{}]*)*)\]")
_BREAK: Final = "\x00"  # where the author breaks a line
_DOCUMENT: Final = r"\begin{document}"


def read(data: bytes, *, name: str, kind: str, options: dict[str, Any]) -> Parsed:
    """The document of a LaTeX file, as `readers.Reader` has it."""
    decoded = decode(data)
    warnings = [*decoded.warnings()]
    bare, comments = without_comments(re.sub(r"\r\n?", "\n", decoded.text))
    builder = Builder(name)
    reader = _Reader(builder, expanded(bare))
    reader.read()
    if reader.included:
        named = ", ".join(reader.included[:5])
        warnings.append(f"{len(reader.included)} included files were not read, among them: {named}.")
    left_out = tuple(LeftOut(Reason.HIDDEN_TEXT, "comment", comment) for comment in [*comments, *reader.comments])
    return Parsed(builder.document, _ROUTE, tuple(warnings), left_out)


class _Reader:
    """Walks the text once; an argument is read where its command stands."""

    def __init__(self, builder: Builder, text: str) -> None:
        self.builder: Builder | _Collector = builder
        self.included: list[str] = []
        self.comments: list[str] = []
        self._text = text
        self._pairs = pairs(text)
        self._run: list[str] = []
        self._notes: list[str] = []
        self._lists: list[str] = []
        self._item: str | None = None  # marker of the item whose text is read
        self._never_ends: set[str] = set()
        self._depth = 0
        self._levels = {part: level for level, part in enumerate(self._used_sections(), 1)}

    def read(self) -> None:
        """Add the whole text."""
        start = self._text.find(_DOCUMENT)
        for command in ("title", "author", "date", "institute", "subtitle", "affil") if start >= 0 else ():
            # Of the preamble only this is shown.
            for match in re.finditer(r"\\" + command + r"(?:\[[^\]]*\])?\{", self._text[:start]):
                end = self._pairs.get(match.end() - 1)
                if end is not None:
                    said = self._inline(match.end(), end)
                    (self.builder.title if command == "title" else self.builder.paragraph)(said)
                    self._flush()
        self._flow(start + len(_DOCUMENT) if start >= 0 else 0, len(self._text))
        self._flush()

    def _used_sections(self) -> list[str]:
        used = [name for name in words.SECTIONS if f"\\{name}" in self._text]
        return list(words.SECTIONS[words.SECTIONS.index(used[0]) :]) if used else []

    def _flow(self, at: int, end: int) -> None:
        """Read from `at` to `end`."""
        while at < end:
            match = _TOKEN.search(self._text, at, end)
            if match is None:
                self._run.append(self._text[at:end])
                return
            self._run.append(self._text[at : match.start()])
            at = self._token(match[0], match.start(), match.end(), end)

    def _token(self, token: str, start: int, at: int, end: int) -> int:
        """Read one token; returns where the text goes on."""
        if token.startswith("\\"):
            return self._command(token[1:], at, end)
        if token.startswith("\n"):
            self._flush()
        elif token == "$":
            return self._dollars(start, end)
        elif token == "}":
            self._run.append(" " if self._text.startswith("{", at) else "")
        elif token != "{":
            self._run.append({"~": " ", "``": "“", "''": "”", "--": "–", "---": "—", "&": " "}.get(token, token))
        return at

    def _dollars(self, start: int, end: int) -> int:
        mark = "$$" if self._text.startswith("$$", start) else "$"
        close = self._text.find(mark, start + len(mark), end) if mark not in self._never_ends else -1
        if close < 0:
            self._never_ends.add(mark)
            self._run.append(mark)
            return start + len(mark)
        formula = self._text[start + len(mark) : close]
        if mark == "$$":
            self._flush()
            self.builder.formula(formula)
        else:
            self._run.append(f"${formula}$")
        return close + len(mark)

    def _command(self, name: str, at: int, end: int) -> int:
        plain = name.removesuffix("*")
        if plain in ("begin", "end"):
            group = self._group(at, end)
            if group is None:
                return at
            environment = self._text[group[0] : group[1]].strip()
            if plain == "begin":
                return self._begin(environment, group[1] + 1, end)
            self._end(environment)
            return group[1] + 1
        if plain in ("[", "("):
            close = (
                self._text.find("\\" + {"[": "]", "(": ")"}[plain], at, end) if plain not in self._never_ends else -1
            )
            if close < 0:
                self._never_ends.add(plain)
            else:
                formula = self._text[at:close]
                if plain == "[":
                    self._flush()
                    self.builder.formula(formula)
                else:
                    self._run.append(f"${formula}$")
                return close + 2
            return at
        if plain == "verb" and at < end:
            close = self._text.find(self._text[at], at + 1, end)
            self._run.append(self._text[at + 1 : close] if close >= 0 else "")
            return close + 1 if close >= 0 else at
        if name == "\\":
            self._run.append(_BREAK)
            return self._skip_option(at, end)
        if plain in words.SYMBOLS:
            self._run.append(words.SYMBOLS[plain])
            return self._after_name(at, end)
        if plain in words.ACCENTS:
            return self._accent(plain, at, end)
        if not plain[:1].isalpha():
            self._run.append(" " if plain in " ,;:!/\n" else "" if plain in "-)]" else plain)
            return at
        return self._named(plain, at, end)

    def _named(self, name: str, at: int, end: int) -> int:
        """A command with a name, and its arguments."""
        if name in self._levels:
            self._flush()
            at, texts = self._arguments(self._skip_option(at, end), end, 1)
            self.builder.heading(" ".join(" ".join(texts).split()), self._levels[name])
            self._footnotes()
        elif name == "item":
            at = self._start_item(at, end)
        elif name == "bibitem":
            self._flush()
            at, texts = self._arguments(self._skip_option(at, end), end, 1)
            self._item = ""
            self._run.append("".join(f"[{text}] " for text in texts))
        elif name in ("caption", "captionof"):
            at, texts = self._arguments(self._skip_option(at, end), end, 1 if name == "caption" else 2)
            self._flush()
            self.builder.caption(" ".join(texts[-1:]))
            self._footnotes()
        elif name in ("title", "author"):
            at, texts = self._arguments(self._skip_option(at, end), end, 1)
            self._flush()
            (self.builder.title if name == "title" else self.builder.paragraph)(" ".join(texts))
            self._footnotes()
        elif name in words.NOTES:
            at, texts = self._arguments(self._skip_option(at, end), end, 1)
            self._notes += texts
        elif name in words.INCLUDES:
            at, texts = self._arguments(self._skip_option(at, end), end, 1)
            self.included += texts
            self._run += [f"{name}: {text}" for text in texts]
        elif name == "includegraphics":
            at = self._picture(at, end)
        elif name in ("href", "hyperref"):
            at, texts = self._arguments(self._skip_option(at, end), end, 2 if name == "href" else 1)
            self._run.append(f"{texts[1]} ({texts[0]})" if len(texts) == 2 else "".join(texts))
        elif name in words.REFERENCES:
            at, texts = self._arguments(self._skip_option(at, end), end, 1)
            self._run.append("".join(f"[{text}]" if "cite" in name else text for text in texts))
        elif name in words.SETTINGS:
            for _ in range(words.SETTINGS[name]):
                group = self._group(self._skip_option(at, end), end)
                at = group[1] + 1 if group else at
        elif name in words.SECOND:
            for _ in range(2 if name == "resizebox" else 1):
                group = self._group(self._skip_option(at, end), end)
                at = group[1] + 1 if group else at
        elif name == "par":
            self._flush()
        elif name in words.SPACES:
            self._run.append(" ")
        else:
            # What is not known has its arguments read as the text that follows.
            at = self._unknown(at, end)
        return at

    def _unknown(self, at: int, end: int) -> int:
        option = self._option(at, end)
        if option and "=" not in option:
            self._run.append(f"{option} ")
        return self._after_name(self._skip_option(at, end), end)

    def _picture(self, at: int, end: int) -> int:
        option = self._option(at, end)
        at, texts = self._arguments(self._skip_option(at, end), end, 1)
        self._flush()
        alt = re.search(r"alt\s*=\s*\{?([^{}\]]+)", option)
        self.builder.picture(text="\n".join([alt[1] if alt else "", *texts]))
        return at

    def _accent(self, mark: str, at: int, end: int) -> int:
        at = self._after_name(at, end) if mark.isalpha() else at
        group = self._group(at, end)
        if group:
            self._run.append(words.accented(mark, self._inline(*group)))
            return group[1] + 1
        if at < end and self._text.startswith(("\\i", "\\j"), at):
            self._run.append(words.accented(mark, self._text[at + 1]))
            return at + 2
        self._run.append(words.accented(mark, self._text[at : min(at + 1, end)]))
        return at + 1

    def _start_item(self, at: int, end: int) -> int:
        self._flush()
        term = self._option(at, end)
        self._item = "1." if self._lists and self._lists[-1] in ("enumerate", "compactenum") else ""
        if term:
            self._run.append(f"{term}: ")
        return self._skip_option(at, end)

    def _begin(self, name: str, at: int, end: int) -> int:
        plain = name.removesuffix("*")
        if name in VERBATIM or name in words.FORMULAS or name in words.TABLES or name in (*words.DRAWINGS, "comment"):
            return self._whole(name, at, end)
        self._flush()
        if plain in words.NAMED:
            self.builder.heading(words.NAMED[plain], 1)
            group = self._group(at, end) if plain == "thebibliography" else None
            self._item = "" if plain == "thebibliography" else self._item
            return group[1] + 1 if group else at
        if name in words.LISTS:
            self._lists.append(name)
            return self._skip_option(at, end)
        option = self._option(at, end)
        if option and "=" not in option and len(option) > 4:  # `[htbp]` says where a figure stands
            self._run.append(f"{plain.capitalize()} ({option})\n")
        return self._skip_option(at, end)

    def _end(self, name: str) -> None:
        self._flush()
        if name in words.LISTS and self._lists:
            self._lists.pop()
        self._item = None

    def _whole(self, name: str, at: int, end: int) -> int:
        """An environment that is read as a whole; one that never ends is read as text."""
        close = self._text.find(f"\\end{{{name}}}", at, end) if name not in self._never_ends else -1
        if close < 0:
            self._never_ends.add(name)
            return at
        self._flush()
        if name in words.TABLES:
            for _ in range(words.TABLES[name]):
                group = self._group(self._skip_option(at, close), close)
                at = group[1] + 1 if group else at
            self._table(at, close)
        elif name == "comment":
            self.comments.append(self._text[at:close].strip())
        elif name in words.FORMULAS:
            self.builder.formula(re.sub(r"\\label\{[^{}]*\}", "", self._text[at:close]))
        else:
            self.builder.code(self._text[at:close])
        return close + len(f"\\end{{{name}}}")

    def _table(self, at: int, end: int) -> None:
        rows: list[list[Cell]] = [[]]
        start = at
        for match in re.compile(r"\\\\(?:\s*\[[^\]]*\])?|\\.|[{&]", re.DOTALL).finditer(self._text, at, end):
            if match.start() < start:
                continue  # in a group
            if match[0] == "{":
                inner_end = self._pairs.get(match.start(), match.start())
                at = max(at, min(inner_end, end))
            elif match.start() >= at and (match[0] == "&" or match[0].startswith("\\\\")):
                rows[-1].append(self._cell(start, match.start(), header=len(rows) == 1))
                start = at = match.end()
                if match[0] != "&":
                    rows.append([])
        rows[-1].append(self._cell(start, end, header=len(rows) == 1))
        self.builder.table([row for row in rows if any(cell.text.strip() for cell in row)])
        self._footnotes()

    def _cell(self, at: int, end: int, *, header: bool) -> Cell:
        columns = re.search(r"\\multicolumn\s*\{(\d{1,3})\}", self._text[at:end])
        rows = re.search(r"\\multirow\s*(?:\[[^\]]*\])?\{(\d{1,3})\}", self._text[at:end])
        for found in (columns, rows):
            if found:
                group = self._group(at + found.end(), end)
                at = group[1] + 1 if group else at + found.end()
        return Cell(self._inline(at, end), 1, int(columns[1]) if columns else 1, header)

    def _inline(self, at: int, end: int) -> str:
        """The words of a part of the text; notes in it wait for the end of the block."""
        if self._depth >= _DEEPEST:
            return self._text[at:end]
        before, builder = self._run, self.builder
        self._run = []
        self.builder = _Collector(self._run)
        self._depth += 1
        self._flow(at, end)
        self._depth -= 1
        text = "".join(self._run)
        self._run, self.builder = before, builder
        return text

    def _flush(self) -> None:
        if isinstance(self.builder, _Collector):
            self._run.append("\n")
            return
        lines = (" ".join(line.split()) for line in _joined("".join(self._run)))
        text = "\n".join(line for line in lines if line)
        self._run = []
        if text and self._item is not None:
            self.builder.item(text, depth=max(len(self._lists), 1), marker=self._item)
        else:
            self.builder.paragraph(text)
        self._footnotes()

    def _footnotes(self) -> None:
        if not isinstance(self.builder, _Collector):
            notes, self._notes = self._notes, []
            for note in notes:
                self.builder.footnote(note)

    def _arguments(self, at: int, end: int, most: int) -> tuple[int, list[str]]:
        """Where the text goes on after up to `most` groups, and their words."""
        texts: list[str] = []
        while len(texts) < most and (group := self._group(at, end)):
            texts.append(self._inline(*group))
            at = group[1] + 1
        return at, texts

    def _group(self, at: int, end: int) -> tuple[int, int] | None:
        """The inside of the group that begins here, after spaces at most."""
        while at < end and self._text[at] in " \t\n":
            at += 1
        close = self._pairs.get(at)
        return (at + 1, close) if close is not None and close < end else None

    def _option(self, at: int, end: int) -> str:
        match = _OPTION.match(self._text, at, end)
        return match[1] if match else ""

    def _skip_option(self, at: int, end: int) -> int:
        while match := _OPTION.match(self._text, at, end):
            at = match.end()
        return at

    def _after_name(self, at: int, end: int) -> int:
        """TeX swallows the spaces after a command's name, and `{}` keeps them."""
        while at < end and self._text[at] in " \t":
            at += 1
        return at + 2 if self._text.startswith("{}", at) else at


class _Collector:
    """Takes the place of the builder where the words of an argument are wanted: everything becomes text."""

    def __init__(self, run: list[str]) -> None:
        self._run = run

    def paragraph(self, text: str) -> None:
        self._run.append(f"\n{text}\n")

    title = caption = formula = code = footnote = paragraph

    def heading(self, text: str, level: int) -> None:
        self.paragraph(text)

    def item(self, text: str, *, depth: int = 1, marker: str = "") -> None:
        self.paragraph(text)

    def picture(self, image: bytes | None = None, text: str = "") -> None:
        self.paragraph(text)

    def table(self, rows: list[list[Cell]]) -> None:
        for row in rows:
            self.paragraph(" | ".join(cell.text for cell in row))


def _joined(text: str) -> list[str]:
    """The lines that the author broke on purpose; the breaks of the source mean nothing."""
    return text.replace("\n", " ").split(_BREAK)
