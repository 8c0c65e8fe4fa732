"""What processes do as the kernel sees it: native code asks for names and writes files, too, and Python cannot tell.

Read from the files of strace, one for each process.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aegis_dagster_tests.support.missing import missing
from aegis_dagster_tests.support.servers.programs import needs

_CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink"
_WRITES = re.compile(r"O_(?:CREAT|WRONLY|RDWR)")
_AT = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_FAMILY = re.compile(r"(?:sa_family|sin6?_family)=(AF_\w+)")
_PEER = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"|sun_path=@?"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Traced:
    """The traces of some commands, which all ran in the same folder."""

    folder: Path  # of the traces

    def below(self, name: str) -> list[str]:
        """What a command is started with, so that it and its children are traced."""
        options = ("-ff", "-qq", "--seccomp-bpf", "-y", "-s", "4096")
        return ["strace", *options, "-e", f"trace={_CALLS}", "-o", str(self.folder / name)]

    def peers(self) -> set[str]:
        """The addresses that something was sent to or connected with: of the internet, and paths of sockets."""
        found = set()
        for line in self._lines():
            if _FAMILY.search(line) and (peer := _PEER.search(line)):
                found.add(next(part for part in peer.groups() if part))
        return found

    def written(self) -> set[str]:
        """The paths that were made, renamed to, or opened to be written to; attempts that failed are left out."""
        found = set()
        for line in self._lines():
            call, _, rest = line.partition("(")
            if " = -1 " in line or (call in ("open", "openat") and not _WRITES.search(line)):
                continue
            if call.startswith(("open", "creat", "mkdir", "rename", "link", "symlink")):
                at, name = _AT.findall(rest)[-1]
                found.add(str(Path(at or "/", name)))
        return found

    def _lines(self) -> Iterator[str]:
        for file in self.folder.iterdir():
            yield from file.read_text("utf-8", "replace").splitlines()


def traced(folder: Path) -> Traced:
    """Skips the test where nothing can be traced; in CI it fails."""
    needs(["strace"], "strace")
    folder.mkdir()
    if subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        missing("strace may not trace here; a container needs the right SYS_PTRACE.")
    return Traced(folder)
