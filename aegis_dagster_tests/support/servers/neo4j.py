"""A real Neo4j for tests: its jars from Maven Central, a home of its own, on a free port of loopback."""

import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from platformdirs import user_cache_dir

from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.servers.programs import free_port
from aegis_dagster_tests.support.servers.shared import shared

VERSION = "5.26.20"  # the last line that runs on Java 17
_MISSING = "Java or Maven is not installed; `apt-get install openjdk-17-jre-headless maven` installs them."
_START_SECONDS = 240.0  # 8 on an idle machine
_OPENED = ("java.base/java.nio", "java.base/java.io", "java.base/sun.nio.ch")
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>aegis</groupId><artifactId>neo4j-of-tests</artifactId><version>1</version><dependencies>
<dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>{VERSION}</version></dependency>
</dependencies></project>
"""
_CONF = """dbms.security.auth_enabled=false
server.default_listen_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{bolt}
server.http.listen_address=127.0.0.1:{http}
dbms.usage_report.enabled=false
server.memory.pagecache.size=64m
"""


@dataclass(frozen=True, slots=True)
class Neo4jServer:
    """A server that asks for no password."""

    uri: str


@contextmanager
def neo4j_server() -> Iterator[Neo4jServer]:
    """A running server with a home of its own, removed at the end."""
    jars = _jars()
    with tempfile.TemporaryDirectory(prefix="aegis_neo4j_") as name:
        home, bolt = Path(name), free_port()
        for folder in ("conf", "data", "logs", "run", "plugins", "import"):
            (home / folder).mkdir()
        (home / "conf" / "neo4j.conf").write_text(_CONF.format(bolt=bolt, http=free_port()))
        command = ["java", "-Xms128m", "-Xmx512m", *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENED)]
        command += ["-cp", f"{jars}/*", "org.neo4j.server.CommunityEntryPoint", f"--home-dir={home}"]
        command += [f"--config-dir={home / 'conf'}", "--console-mode"]
        with (home / "console").open("wb") as console:
            process = subprocess.Popen(command, stdout=console, stderr=console)
            try:
                server = Neo4jServer(f"bolt://127.0.0.1:{bolt}")
                _wait_for(server, process, home / "console")
                yield server
            finally:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def neo4j(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neo4jServer]:
    """One server for all tests of a run; each takes a workspace of its own. Without Java or Maven the tests skip."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        missing(_MISSING)
    with shared(tmp_path_factory, "neo4j", neo4j_server) as server:
        yield server


def _jars() -> Path:
    """The folder of the server's 213 jars, 116 MB; fetched when it is first needed, some 10 s."""
    cache = Path(user_cache_dir("aegis_dagster_tests", appauthor=False))
    cache.mkdir(parents=True, exist_ok=True)
    jars = cache / f"neo4j-{VERSION}"
    with FileLock(cache / "neo4j.lock", timeout=300):
        if not jars.is_dir():
            with tempfile.TemporaryDirectory(prefix="neo4j-", dir=cache) as name:
                (Path(name) / "pom.xml").write_text(_POM)
                made = cache / f"neo4j-{uuid.uuid4().hex}.part"
                goal = ["dependency:copy-dependencies", f"-DoutputDirectory={made}", "-DincludeScope=runtime"]
                done = subprocess.run(
                    ["mvn", "-q", "-B", *goal], cwd=name, capture_output=True, timeout=280, check=False
                )
                assert done.returncode == 0, (done.stdout + done.stderr).decode()
                made.rename(jars)  # whole or not at all
    return jars


def _wait_for(server: Neo4jServer, process: "subprocess.Popen[bytes]", console: Path) -> None:
    from neo4j import GraphDatabase
    from neo4j.exceptions import DriverError, Neo4jError

    deadline = time.monotonic() + _START_SECONDS
    with GraphDatabase.driver(server.uri, auth=None, connection_timeout=2) as driver:
        while True:
            try:
                driver.execute_query("RETURN 1")
            except (DriverError, Neo4jError):
                assert process.poll() is None and time.monotonic() < deadline, console.read_text()
                time.sleep(0.2)
            else:
                return
