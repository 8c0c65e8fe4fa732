"""The way to the terminal: whatever a command, a library or an error writes passes here, and nothing of it acts.

Colours, bars and boxes come from rich, which lays out what was made visible before. The rest of the process writes to
`sys.stdout` and `sys.stderr`, which `guard_streams` wraps. Dagster's processes are not ours: what they write passes a
process that `guard_descriptors` starts.
"""

import io
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

import rich.markup
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from typer.core import TyperGroup

from aegis_dagster.domain.visible import visible, visible_lines

_COLOURS = re.compile(
    r"(\x1b\[(?:(?:0|1|22|3[0-79]|9[0-7]);?)*m)"
)  # of Dagster's log lines; nothing else of a terminal
_LONGEST_LINE = 1 << 16


def escape(text: str) -> str:
    """A name or a message as a part of a line that is printed with markup."""
    return rich.markup.escape(visible(text))


def escape_lines(text: str) -> str:
    """The same for a text of several lines: they stay."""
    return rich.markup.escape(visible_lines(text))


class VisibleConsole(Console):
    """A console on which only our own markup makes colours, and nothing makes links."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text that is printed or put into a table; rich itself would drop some characters without a trace."""
        return super().render_str(visible_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What remains: texts that were made elsewhere, e.g. of a library that prints while bars are shown."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                style = segment.style.update_link(None) if segment.style and segment.style.link else segment.style
                yield Segment(visible_lines(segment.text), style)


class VisibleGroup(TyperGroup):
    """A group of commands whose complaints about arguments are visible: they quote what the shell completed."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        """See TyperGroup."""
        with _visible_complaints():
            return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: Any) -> Any:
        """See TyperGroup."""
        with _visible_complaints():
            return super().invoke(ctx)


@contextmanager
def _visible_complaints() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(said := getattr(error, "message", None), str):  # typer names no class for all of its own
            vars(error)["message"] = visible(said)
        raise


class VisibleStream(io.TextIOWrapper):
    """Standard output or error for everything that is no console of rich."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=stream.isatty())
        self.rich_proxied_file = stream  # where rich's consoles write: typer's, too, with their colours

    def write(self, text: str) -> int:
        """Write a text; the number of characters is that of the original."""
        super().write(visible_lines(text))
        self.flush()  # in the order in which consoles and others write
        return len(text)


def guard_streams() -> None:
    """Let nothing that is written to `sys.stdout` and `sys.stderr` from now on act on a terminal."""
    for name in ("stdout", "stderr"):
        stream: TextIO = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream, VisibleStream):
            setattr(sys, name, VisibleStream(stream))


def guard_descriptors() -> None:
    """The same for all that this process becomes and starts, in any language: Dagster quotes names and messages."""
    for descriptor in (1, 2):
        reads, writes = os.pipe()
        if os.fork() == 0:
            _pass_on(reads, descriptor)
        os.close(reads)
        os.dup2(writes, descriptor)
        os.close(writes)


def _pass_on(reads: int, descriptor: int) -> NoReturn:
    """Write what comes, until the last process that writes has ended; also its last words after Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for other in {0, 1, 2} - {descriptor}:
        os.close(other)
    os.closerange(3, reads)
    os.closerange(reads + 1, os.sysconf("SC_OPEN_MAX"))
    coloured = os.isatty(descriptor)
    try:
        with open(reads, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            while line := lines.readline(_LONGEST_LINE):
                parts = _COLOURS.split(line)  # every second one is a colour
                shown = (visible_lines(part) if not at % 2 else part * coloured for at, part in enumerate(parts))
                os.write(descriptor, "".join(shown).encode())
    finally:
        os._exit(0)
