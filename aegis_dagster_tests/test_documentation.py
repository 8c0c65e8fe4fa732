"""The documentation says what the code does: settings, links, commands."""

import re
import runpy
from pathlib import Path

import pytest

from aegis_dagster_tests.support.places import REPOSITORY

PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *(REPOSITORY / "docs").rglob("*.md")])


def test_every_setting_is_documented_as_it_is() -> None:
    script = runpy.run_path(str(REPOSITORY / "scripts" / "document_settings.py"))
    page = (REPOSITORY / "docs" / "guides" / "SETTINGS.md").read_text("utf-8")
    assert page == script["document"](), "run `python scripts/document_settings.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_readme_names_only_commands_that_exist() -> None:
    from typer.main import get_command

    from aegis_dagster.cli.app import app

    readme = (REPOSITORY / "README.md").read_text("utf-8")
    commands = set(getattr(get_command(app), "commands", {}))
    assert set(re.findall(r"`aegis ([a-z]+)", readme)) <= commands
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", readme)) <= targets
