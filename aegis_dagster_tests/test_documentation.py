"""The documentation says what the code does: settings, links, files, commands."""

import re
import runpy
from pathlib import Path

import pytest

from aegis_dagster_tests.support.places import REPOSITORY

PAGES = sorted(
    [*REPOSITORY.glob("*.md"), REPOSITORY / "dashboards" / "README.md", *(REPOSITORY / "docs").rglob("*.md")]
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))

# A Python file or a folder, as the package, the tests or the repository have it; or anything by its whole path.
NAMED_FILE = re.compile(
    r"`((?:[\w.]+/)*\w+\.py|(?:\w+/)+|(?:\.ci|aegis_dagster\w*|dashboards|docs|scripts)/[\w./]+)(?=[`\s])"
)


def test_every_setting_is_documented_as_it_is() -> None:
    script = runpy.run_path(str(REPOSITORY / "scripts" / "document_settings.py"))
    page = (REPOSITORY / "docs" / "guides" / "SETTINGS.md").read_text("utf-8")
    assert page == script["document"](), "run `python scripts/document_settings.py`"


@every_page
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@every_page
def test_a_file_that_is_named_exists(page: Path) -> None:
    roots = (REPOSITORY, REPOSITORY / "aegis_dagster", page.parent)
    names = {
        path.name for folder in ("aegis_dagster", "aegis_dagster_tests") for path in (REPOSITORY / folder).rglob("*.py")
    }
    named = NAMED_FILE.findall(page.read_text("utf-8"))
    assert [name for name in named if name not in names and not any((root / name).exists() for root in roots)] == []


@every_page
def test_a_page_names_only_commands_that_exist(page: Path) -> None:
    from typer.main import get_command

    from aegis_dagster.cli.app import app

    text = page.read_text("utf-8")
    commands = set(getattr(get_command(app), "commands", {}))
    assert set(re.findall(r"(?:^|`|bin/)aegis ([a-z]+(?:-[a-z]+)*)", text, re.MULTILINE)) <= commands
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+)[a-z-]*:", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)) <= targets
