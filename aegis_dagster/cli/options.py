"""Options and arguments that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Paths = Annotated[
    list[Path] | None,  # the parser: typer's own asks the disk, which may never answer, before we can
    typer.Argument(parser=Path, metavar="[PATHS]...", help="Parts of the watched root; default: all of it."),
]
