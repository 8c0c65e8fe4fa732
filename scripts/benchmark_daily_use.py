"""Measures how soon a new, changed, moved or deleted file takes effect: `python -m scripts.benchmark_daily_use`."""

import tempfile
import time
from pathlib import Path

import pytest

from aegis_dagster_tests.support.bad_files import one_page_pdf
from aegis_dagster_tests.support.operator import Operator, operator_of
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev


def main() -> None:
    """Start `aegis dev` over an empty folder with its sensor on, and print the seconds for each change."""
    with tempfile.TemporaryDirectory(prefix="aegis_daily_") as name, pytest.MonkeyPatch.context() as patch:
        root = Path(name) / "root"
        root.mkdir()
        dev = DagsterDev(Path(name) / "home", root, {"AEGIS_SCHEDULES__WATCHED_FOLDER__ENABLED": "true"})
        begun = time.monotonic()
        try:
            dev.start()
            print(f"aegis dev: {time.monotonic() - begun:.1f} s")
            operator = operator_of(dev, patch)
            operator.write("post/stays.txt", b"A tortoise stays: deletions in an empty folder are held.")
            operator.wait_until_found("first", "tortoise", "post/stays.txt")
            operator.wait_until_idle()
            measure(operator, root / "post" / "letter.pdf")
        finally:
            patch.undo()  # the folder that was changed to goes
            dev.stop()


def measure(operator: Operator, letter: Path) -> None:
    """One document of a page."""
    renamed = letter.with_name("renamed.pdf")
    _seconds(operator, "new", "axolotl", [letter.name], _written(operator, "axolotl"))
    _seconds(operator, "edited", "dromedary", [letter.name], _written(operator, "dromedary"))
    letter.rename(renamed)
    _seconds(operator, "renamed", "dromedary", [renamed.name], time.monotonic())
    renamed.unlink()
    _seconds(operator, "deleted", "dromedary", [], time.monotonic())


def _written(operator: Operator, word: str) -> float:
    operator.write("post/letter.pdf", one_page_pdf(f"The {word} of the harbour was counted twice this year."))
    return time.monotonic()


def _seconds(operator: Operator, what: str, question: str, names: list[str], begun: float) -> None:
    operator.wait_until_found(what, question, *(f"post/{name}" for name in names))
    print(f"{what}: {time.monotonic() - begun:.1f} s")
    operator.wait_until_idle()


if __name__ == "__main__":
    main()
