"""What `aegis` does on a machine of its own: it asks for no name, reaches no host, and writes for its user alone."""

import os
import shlex
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from aegis_dagster.composition.project import open_to_others
from aegis_dagster.embedding.model_files import ensure_model
from aegis_dagster_tests.support.cli_process import Aegis
from aegis_dagster_tests.support.projects import write_documents
from aegis_dagster_tests.support.projects_with_models import write_picture_document
from aegis_dagster_tests.support.servers.dagster_dev import DagsterDev
from aegis_dagster_tests.support.traced import Traced, traced

pytestmark = pytest.mark.slow

_OWN = ("AEGIS_", "DAGSTER_", "XDG_", "HF_", "ORT_", "MPL", "LITELLM_", "PYTHONDONTWRITE", "DO_NOT_TRACK")


class Machine:
    """A home, and an empty folder as the user's, in which everything ran once."""

    def __init__(self, folder: Path) -> None:
        self.user, self.home, self.root = folder / "user", folder / "home", folder / "root"
        self.cache = ensure_model(None).parent
        self.traces: Traced = traced(folder / "traces")
        self.user.mkdir()
        write_picture_document(self.root / "c" / "report.docx")  # read by docling in a worker, its picture by OCR
        write_documents(self.root, ["c/a.txt"])

    def run(self) -> None:
        """Ingest; then search, show metrics, and run Dagster's webserver and daemon beside each other."""
        self._aegis("ingest")
        with ThreadPoolExecutor() as beside:
            for done in [
                beside.submit(self._aegis, "search", "harbour"),
                beside.submit(self._aegis, "metrics", "--once"),
                beside.submit(self._dev),
            ]:
                done.result()

    def settings(self) -> dict[str, str]:
        """Of the environment, besides home and root."""
        return {
            "HOME": str(self.user),
            "AEGIS_MODEL_CACHE": str(self.cache),
            "AEGIS_LISTING__SETTLE_SECONDS": "0",
            "AEGIS_PARSE__WORKERS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _aegis(self, *arguments: str) -> None:
        aegis = Aegis(self.home, self.root)
        command = [*self.traces.below(arguments[0]), *aegis.command(*arguments)]
        environment = {name: value for name, value in aegis.environment().items() if not name.startswith(_OWN)}
        environment |= {"AEGIS_HOME": str(self.home), "AEGIS_ROOT": str(self.root), **self.settings()}
        done = subprocess.run(
            command, env=environment, cwd=self.home.parent, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr

    def _dev(self) -> None:
        server = DagsterDev(self.home, self.root, self.settings(), below=self.traces.below("dev"))
        try:
            server.start()
        finally:
            server.stop()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("machine"))
    with _umask(0o000):
        made.run()
    yield made


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_the_traces_show_who_is_asked_and_what_is_written(tmp_path: Path) -> None:
    traces = traced(tmp_path / "traces")
    script = (
        "import os, pathlib, socket\n"
        "with socket.socket(type=socket.SOCK_DGRAM) as probe: probe.connect(('192.0.2.1', 53))\n"
        "os.mkdir('made'); pathlib.Path('made/file').touch(); os.rename('made/file', 'made/renamed')\n"
        "pathlib.Path('made/renamed').read_text()"
    )
    subprocess.run([*traces.below("probe"), sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=200)
    assert "192.0.2.1" in traces.peers()
    assert {Path(path).name for path in traces.written()} >= {"made", "file", "renamed"}


def test_no_name_is_asked_for_and_no_host_is_reached(machine: Machine) -> None:
    here = {"127.0.0.1", "::1", "0.0.0.0", "::"}
    assert [peer for peer in machine.traces.peers() - here if not peer.startswith(tempfile.gettempdir())] == []


def test_nothing_is_written_outside_the_home_the_model_cache_and_the_temporary_folder(machine: Machine) -> None:
    allowed = (str(machine.home), str(machine.cache), "/dev/", "/proc/self/", "/tmp/", f"{tempfile.gettempdir()}/tmp")
    written = {
        path for path in machine.traces.written() if not Path(path).name.startswith(".coverage.")
    }  # of the tests
    assert str(machine.home / "aegis.db") in written and str(machine.home / "dagster/history/runs.db") in written
    base = str(machine.home.parent)  # it lies in the temporary folder itself
    assert [path for path in written if path.startswith(base) and not path.startswith(str(machine.home))] == []
    nameless = {tempfile.gettempdir()}  # a file without a name is made by opening its folder
    assert [path for path in written - nameless if not path.startswith(allowed)] == []
    assert list(machine.user.iterdir()) == []


def open_below(folder: Path) -> list[str]:
    """The paths that somebody else could read or enter, with their modes."""
    found = [(path, stat.S_IMODE(path.lstat().st_mode)) for path in [folder, *folder.rglob("*")]]
    return [f"{path} {mode:o}" for path, mode in found if mode & 0o077]


def test_everything_in_the_home_is_for_its_user_alone_whatever_the_umask_was(machine: Machine) -> None:
    written = {path.name for path in machine.home.rglob("*")}
    assert {"aegis.db", "edge_config.json", "runs.db", "document.json"} <= written
    assert open_below(machine.home) == []


def test_a_home_that_others_can_read_gets_one_warning_with_the_command(tmp_path: Path) -> None:
    home = tmp_path / "a home"
    home.mkdir()
    home.chmod(0o755)
    (tmp_path / "root").mkdir()
    said = Aegis(home, tmp_path / "root")("status")
    command = f"chmod -R go-rwx {shlex.quote(str(home))}"
    assert said.code == 0 and said.stderr.count(command) == 1
    assert command in open_to_others(home)
    subprocess.run(command, shell=True, check=True)
    assert open_to_others(home) == "" and open_below(home) == []


def test_a_process_of_dagster_that_loads_the_definitions_writes_for_its_user_alone(tmp_path: Path) -> None:
    script = "import aegis_dagster.definitions\nfrom pathlib import Path\nPath('written').touch()"
    environment = Aegis(tmp_path / "home").environment()
    with _umask(0o022):
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True, timeout=200)
    assert stat.S_IMODE((tmp_path / "written").stat().st_mode) == 0o600
