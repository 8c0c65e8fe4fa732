"""A real Postgres for tests: its own data folder, on loopback, on a free port, stopped at the end."""

import os
import shlex
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from aegis_dagster.stores.database import open_database
from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.shared import shared

_FOLDERS = ["/usr/local/bin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
_MISSING = "Postgres is not installed; `apt-get install postgresql` installs it."


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server that can be stopped and started again."""

    folder: Path
    port: int

    def new_database(self, like: str | None = None) -> str:
        """The URL of an empty database, as SQLAlchemy takes it. Takes 0.2 s. like: a URL, whose tables it has."""
        name = f"aegis_{uuid.uuid4().hex[:12]}"
        template = f" TEMPLATE {sa.engine.make_url(like).database}" if like else ""
        engine = sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}{template}"))
        engine.dispose()
        return self._url(name)

    def start(self) -> None:
        """Returns when it takes connections."""
        options = f"-p {self.port} -k {self.folder} -h 127.0.0.1 -c fsync=off -c max_connections=200"
        log = self.folder / "log"
        _as_postgres([_program("pg_ctl"), "-D", str(self.data), "-w", "-l", str(log), "-o", options, "start"])

    def stop(self) -> None:
        """Ends its connections and returns when it is gone."""
        _as_postgres([_program("pg_ctl"), "-D", str(self.data), "-w", "-m", "fast", "stop"])

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server with a data folder of its own, removed at the end."""
    # Not pytest's folder: the user postgres may not enter it, and a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="aegis_pg_") as name:
        server = PostgresServer(Path(name), free_port())
        if os.geteuid() == 0:
            shutil.chown(name, "postgres", "postgres")
        _as_postgres([_program("initdb"), "-D", str(server.data), "-A", "trust", "-U", "postgres", "--no-sync"])
        server.start()
        try:
            yield server
        finally:
            if (server.data / "postmaster.pid").exists():
                server.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for all tests of a run; each takes a database of its own. Without Postgres the tests skip."""
    if _found("initdb") is None:
        missing(_MISSING)
    with shared(tmp_path_factory, "postgres", postgres_server) as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server for one test, which may stop it. Without Postgres the test skips."""
    if _found("initdb") is None:
        missing(_MISSING)
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'aegis.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture(scope="session")
def new_tables(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The URL of a new database with all tables and no rows, of a kind: they are copied from one that was migrated."""
    templates: dict[str, str] = {}

    def made(kind: str) -> str:
        folder = tmp_path_factory.mktemp("tables")
        file = folder / "aegis.db"
        if kind == "sqlite":
            if kind not in templates:
                templates[kind] = f"sqlite:///{folder / 'template.db'}"
                open_database(templates[kind]).dispose()
            shutil.copy(templates[kind].removeprefix("sqlite:///"), file)
            return f"sqlite:///{file}"
        server: PostgresServer = request.getfixturevalue("postgres")
        if kind not in templates:
            templates[kind] = server.new_database()
            open_database(templates[kind]).dispose()
        return server.new_database(like=templates[kind])

    return made


@pytest.fixture(params=["sqlite", "postgres"])
def tables_url(request: pytest.FixtureRequest, new_tables: Callable[[str], str]) -> str:
    """A database with all tables and no rows, of each kind."""
    return new_tables(request.param)


def _found(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(_FOLDERS))


def _program(name: str) -> str:
    found = _found(name)
    if found is None:
        raise FileNotFoundError(_MISSING)
    return found


def _as_postgres(command: list[str]) -> None:
    """Run a command as a user that Postgres accepts: it refuses to run as root."""
    if os.geteuid() == 0:
        command = ["su", "postgres", "-s", "/bin/sh", "-c", shlex.join(command)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}: {done.stderr}")
