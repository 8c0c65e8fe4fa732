"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Paths = Annotated[
    list[Path] | None,  # the parser: typer's own would access the disk, which may never answer, before we can guard it
    typer.Argument(parser=Path, metavar="[PATHS]...", help="Parts of the watched root; default: all of it."),
]
