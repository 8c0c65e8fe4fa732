"""Nothing that a document, its name or an error says acts on a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aegis_dagster.cli import output
from aegis_dagster.cli.terminal import VisibleConsole, escape
from aegis_dagster_tests.support.cli_in_process import InProcess
from aegis_dagster_tests.support.cli_process import Aegis

PACKAGE = Path(__file__).parents[2] / "aegis_dagster"
CLEARS, TITLES, LINKS = "\x1b[2J", "\x1b]0;mine\x07", "\x1b]8;;http://evil.example\x1b\\"
HOSTILE = f"{CLEARS}{TITLES}{LINKS}\x9b31m\u202e\u2066\r\x08\x00\x7f"
# What a terminal obeys and we do not use ourselves; bars hide the cursor, go up and clear their own line.
OBEYED = re.compile(
    "\x1b(?!\\[(?:[0-9;]*m|\\?25[lh]|2K|1A))|[\x00-\x07\x0b-\x0c\x0e-\x1a\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
NAME = f"minutes {CLEARS}{LINKS}\u202e\x9b31m\n.txt".replace("/", "")
SAYS = f"{CLEARS}{TITLES}{LINKS}\x9b31m\u202e\u2066"
PLAIN = "The harbour of Lisbon was counted by Ana Sousa, and Lisbon has a harbour where Ana Sousa counts ships. "
BODY = f"{PLAIN * 4}\n\n{PLAIN} Ana {SAYS} Sousa.\n\n{PLAIN * 4}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home into which a terminal ingested a hostile text and a hostile name of a broken file."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "root" / "notes").mkdir(parents=True)
    (folder / "root" / "notes" / NAME).write_text(BODY)
    (folder / "root" / "notes" / f"broken{CLEARS}.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    aegis = Aegis(folder / "home", folder / "root")
    said = in_terminal(aegis.command("ingest"), aegis.environment())
    assert "broken\\x1b[2J.pdf" in said and "\x1b[" in said  # the name is there, and our colours
    assert OBEYED.findall(said) == []
    return folder


def in_terminal(command: list[str], environment: dict[str, str]) -> str:
    """What a command writes when its output is a terminal."""
    mine, its = pty.openpty()
    done = subprocess.Popen(command, stdout=its, stderr=its, env={**environment, "TERM": "xterm-256color"})
    os.close(its)
    said = b""
    try:
        while more := os.read(mine, 65536):
            said += more
    except OSError:  # how Linux says that the last writer is gone
        pass
    os.close(mine)
    done.wait(200)
    return said.decode("utf-8")


@pytest.fixture
def aegis(home: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("AEGIS_ROOT", str(home / "root"))
    return InProcess(home / "home", monkeypatch)


@pytest.mark.parametrize(
    "command",
    [
        ("status", "--failed"),
        ("show", "minutes"),
        ("search", "Who counted the harbour?", "--mode", "sparse"),
        ("graph",),
        ("graph", "Lisbon"),
        ("ingest", "--dry-run"),
        ("retry", f"not there {HOSTILE}"),
        ("show", f"not there {HOSTILE}"),
        ("costs", "--by", f"colour{HOSTILE}"),
        (f"no-command{HOSTILE}",),
        ("status", f"--no-option{HOSTILE}"),
        ("search", "x", "-n", f"{HOSTILE}"),
    ],
    ids=lambda command: " ".join(command)[:20].encode("unicode_escape").decode(),
)
def test_no_command_writes_what_a_terminal_obeys(aegis: InProcess, command: tuple[str, ...]) -> None:
    done = aegis(*command)
    said = done.stdout + done.stderr
    assert said.strip()
    assert OBEYED.findall(said) == []
    assert "\x1b" not in said  # it is no terminal: not even colours


def test_what_a_document_says_is_shown_as_it_is(aegis: InProcess) -> None:
    said = aegis("show", "minutes", "--markdown").stdout
    assert "\\x1b[2J" in said and "<U+202E>" in said
    assert said.startswith("notes/minutes \\x1b[2J") and "\\n.txt" in said.splitlines()[0]  # a name has one line


def test_json_parses_to_the_exact_name_and_is_harmless_itself(aegis: InProcess) -> None:
    said = aegis("show", "minutes", "--json").stdout
    assert json.loads(said)["document"] == f"notes/{NAME}"
    assert OBEYED.findall(said) == [] and "\\u202e" in said


def test_what_libraries_print_log_and_raise_is_visible() -> None:
    script = (
        "import sys, logging; from aegis_dagster.cli.terminal import guard_streams; guard_streams()\n"
        f"said = {HOSTILE!r}\nprint(said); logging.warning(said); print('two\\nlines')\nraise ValueError(said)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert OBEYED.findall(out + err) == [] and "\x1b" not in out + err
    assert "\\x1b[2J" in out and out.endswith("two\nlines\n")
    assert err.count("\\x1b]0;mine\\x07") == 2 and "ValueError" in err


SAID = "\x1b[32mgreen\x1b[0m " + HOSTILE
WRITER = (
    "import os, sys; from aegis_dagster.cli.terminal import guard_descriptors; guard_descriptors()\n"
    f"os.execv(sys.executable, [sys.executable, '-c', 'print(' + {ascii(SAID)!r} + ')'])"
)


def test_what_dagsters_processes_write_keeps_only_its_colours(tmp_path: Path) -> None:
    script = [sys.executable, "-c", WRITER]
    shown = in_terminal(script, dict(os.environ))
    assert "\x1b[32mgreen\x1b[0m" in shown and "\\x1b[2J" in shown
    assert OBEYED.findall(shown) == []
    piped = subprocess.run(script, capture_output=True, timeout=60).stdout.decode()
    assert piped.startswith("green ") and "\x1b" not in piped


def test_what_a_dagster_job_logs_is_visible_in_the_terminal_and_keeps_dagsters_colours() -> None:
    script = (
        "import dagster as dg, aegis_dagster.definitions\n"
        f"said = {HOSTILE!r}\n"
        "@dg.op\ndef speak(context):\n    context.log.warning(said)\n    raise ValueError(said)\n"
        "@dg.job\ndef job():\n    speak()\n"
        "job.execute_in_process(raise_on_error=False)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=200).stderr.decode()
    assert "\\x1b[2J" in said and "ValueError" in said and "STEP_FAILURE" in said
    assert OBEYED.findall(said) == []


def test_a_link_that_a_library_prints_while_bars_are_shown_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.text import Text

    console = VisibleConsole(force_terminal=True)
    console.print(Text.from_ansi(f"{LINKS}text\x1b]8;;\x1b\\"))
    console.print(Text("raw \x1b[2J"))
    said = capsys.readouterr().out
    assert "text" in said and "raw \\x1b[2J" in said and OBEYED.findall(said) == []


def test_a_name_in_colons_stays_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    output.out.print(f"{escape(':skull:')} [bold]bold[/]")
    assert capsys.readouterr().out == ":skull: bold\n"


def test_only_one_module_makes_consoles_and_escapes_markup_and_only_one_writes_json_and_csv() -> None:
    """Who prints in another way would print what nobody made visible."""
    files = [file for file in (PACKAGE / "cli").glob("*.py") if file.name != "terminal.py"]
    own_ways = re.compile(r"rich\.(markup|console)|\bConsole\(|ensure_ascii|csv\.(writer|DictWriter)")
    wrong = [file.name for file in files if own_ways.search(file.read_text("utf-8"))]
    assert wrong == ["output.py"]  # its `print_csv`
