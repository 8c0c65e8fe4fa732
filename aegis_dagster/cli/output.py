"""The output of a command: one JSON object or a layout for people on stdout, everything else on stderr."""

import csv
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aegis_dagster.cli.terminal import VisibleConsole, escape, escape_lines
from aegis_dagster.domain.stages import Stage
from aegis_dagster.domain.visible import visible, visible_json
from aegis_dagster.errors import AegisError, ServiceError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from aegis_dagster.ports import Progress

EXIT_FAILED_DOCUMENTS = 1
EXIT_OPERATOR = 2  # the user must fix something
EXIT_SERVICE = 3  # a service is broken; the same command may succeed later
EXIT_INTERRUPTED = 130  # as in shells for Ctrl-C

# Where a spreadsheet begins to read a formula: at the start of a cell, or where it may see another separator than ours.
_FORMULA = re.compile(r"(^|[,;|\"])(?=\s*[=+\-@＝＋－＠﹦﹢﹣﹫])")

out = VisibleConsole(highlight=False, emoji=False)  # a name `:skull:` is no picture
err = VisibleConsole(stderr=True, highlight=False, emoji=False)


def print_json(values: dict[str, Any]) -> None:
    """Print exactly one object on stdout."""
    print(visible_json(values))


def print_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows on stdout, with a header; no cell is a formula for the spreadsheet that opens them."""
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    """A number stays one; a text that a spreadsheet would compute begins with an apostrophe, as OWASP advises."""
    if not isinstance(value, str):
        return value
    return ("'" if value[:1] in ("\t", "\r", "\n") else "") + _FORMULA.sub(r"\1'", visible(value))


@contextmanager
def errors_shown(as_json: bool) -> Iterator[None]:
    """The project's own errors, and the disk's, end the command with their remedy and an exit code, not a traceback."""
    try:
        with disk_errors_told():
            yield
    except AegisError as error:
        if as_json:
            print_json({"error": {"type": type(error).__name__, "message": error.message, "remedy": error.remedy}})
        err.print(f"[bold red]error:[/] {escape(error.message)}\n[bold]remedy:[/] {escape_lines(error.remedy)}")
        raise typer.Exit(EXIT_SERVICE if isinstance(error, ServiceError) else EXIT_OPERATOR) from error


@contextmanager
def disk_errors_told() -> Iterator[None]:
    """Raises ServiceError for what the disk refuses outside of the stores, e.g. a file of settings."""
    try:
        yield
    except BrokenPipeError:
        raise  # nobody reads the output any more
    except OSError as error:
        from aegis_dagster.stores.faults import Place, service_error

        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None
        place = Place(str(path or "A file of AEGIS_HOME"), path, "")
        told = service_error(error, place)
        if told is None:
            raise
        raise told from error


@contextmanager
def progress_shown() -> Iterator["Progress"]:
    """Show bars on a terminal; elsewhere a line on stderr every ten seconds."""
    if not err.is_terminal:
        from aegis_dagster.progress import LoggedProgress

        yield LoggedProgress(lambda line: err.print(escape(line)))
        return
    with Bars() as bars:
        yield bars


class Bars:
    """Progress bars on stderr, one per stage. Implements `ports.Progress`."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=err, transient=False)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def start(self, label: str, total: int) -> None:
        """Show a bar, unless it has no work."""
        if total == 0:
            return
        if label in self._tasks:
            task = self._tasks[label]
            known = next(item.total or 0 for item in self._progress.tasks if item.id == task)
            self._progress.update(task, total=known + total, visible=True)
        else:
            self._tasks[label] = self._progress.add_task(escape(label), total=total)

    def advance(self, label: str, done: int = 1) -> None:
        """Move a bar."""
        if label in self._tasks:
            self._progress.advance(self._tasks[label], done)

    def finish(self, label: str) -> None:
        """Leave a stage's bar as it ended; those of parts of a stage make room for the next."""
        if label in self._tasks and label not in set(Stage):
            self._progress.update(self._tasks[label], visible=False)
