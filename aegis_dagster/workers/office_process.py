"""The process beside a worker that starts LibreOffice: for each request one run, within walls of its own.

It is forked from the worker before that confines itself, takes two words a line (format and target), and never reads a
document. LibreOffice gets a copy of the file in the worker's folder and a fresh profile, without macros and links.
"""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import NoReturn

from aegis_dagster.office import MODULES, Office, OfficeLine, office_folder
from aegis_dagster.workers import kernel
from aegis_dagster.workers.confinement import confine_program

_POLL_SECONDS = 0.05
_RESTART = 81  # LibreOffice's exit code after the first start with a new profile
_TARGETS = ("docx", "xlsx", "pptx")
_ITEM = (
    '<item oor:path="/org.openoffice.Office.{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop>'
    "</item>"
)
_SETTINGS = (
    ("Common/Security/Scripting", "MacroSecurityLevel", "3"),
    ("Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("Writer/Content/Update", "Link", "2"),  # never
    ("Calc/Content/Update", "Link", "2"),
)
_PROFILE = (
    '<?xml version="1.0" encoding="UTF-8"?><oor:items xmlns:oor="http://openoffice.org/2001/registry"'
    ' xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    + "".join(_ITEM.format(path=path, name=name, value=value) for path, name, value in _SETTINGS)
    + "</oor:items>"
)


def start(office: Office, folder: Path, memory_mb: int) -> OfficeLine:
    """Fork the process; this one may have one thread. folder: the worker's own."""
    take, ask = os.pipe()
    hear, tell = os.pipe()
    if os.fork() == 0:
        os.close(ask)
        os.close(hear)
        _serve(office, office_folder(folder), memory_mb, take, tell)
    os.close(take)
    os.close(tell)
    return OfficeLine(folder, os.fdopen(ask, "w"), os.fdopen(hear), office.formats)


def _serve(office: Office, folder: Path, memory_mb: int, take: int, tell: int) -> NoReturn:
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):  # those of the worker are its line to its parent
            os.dup2(nothing, descriptor)
        kernel.die_with_parent()
        with os.fdopen(take) as requests, os.fdopen(tell, "w") as answers:
            for request in requests:
                kind, target = request.split()
                asked = kind in MODULES and target in _TARGETS
                answers.write(_convert(office, folder, kind, target, memory_mb) + "\n" if asked else "failed\n")
                answers.flush()
        code = 0
    finally:
        os._exit(code)


def _convert(office: Office, folder: Path, kind: str, target: str, memory_mb: int) -> str:
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    (profile / "user").mkdir(parents=True)
    (profile / "user" / "registrymodifications.xcu").write_text(_PROFILE, "utf-8")
    options = ["--headless", "--norestore", "--nologo", "--nodefault", "--nolockcheck", "--nofirststartwizard"]
    options += [f"-env:UserInstallation={profile.as_uri()}", "--convert-to", target]
    command = [office.program, *options, f"in.{kind}"]
    answer = ""
    for _ in range(2):
        answer = _run(command, folder, memory_mb)
        if answer != f"failed {_RESTART}":
            break
    return answer.split()[0]


def _run(command: list[str], folder: Path, memory_mb: int) -> str:
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            confine_program(memory_mb, folder, Path(command[0]))
            environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": "", "LANG": "C.UTF-8"}
            os.execve(command[0], command, environment)
        finally:
            os._exit(1)
    limit = memory_mb * 1024 * 1024
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            full = code and used.ru_maxrss * 1024 > limit * 0.8  # an allocation beyond the limit ended it
            return "ok" if code == 0 else "memory" if full else f"failed {code}"
        # Both are here for one document: the worker waits, but what it holds counts.
        if kernel.resident_bytes(child) + kernel.resident_bytes(os.getppid()) > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "memory"
        time.sleep(_POLL_SECONDS)
