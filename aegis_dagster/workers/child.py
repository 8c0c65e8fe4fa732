"""The worker process: runs one task at a time and answers on a pipe.

Forked by the template (`template.py`); where that cannot be, started as `python -m aegis_dagster.workers.child
'{"memory_mb": ..., "writable": [...], "office": ...}'`. It confines itself before anything else, but for the process
that starts LibreOffice, where that is installed. Requests and answers are JSON lines on the
original stdin and stdout; whatever a library prints goes to stderr. When the parent is gone, stdin ends and the process
exits at once, whatever it is doing.
"""

import ctypes
import errno
import importlib
import json
import os
import select
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from aegis_dagster.errors import AegisError, DocumentError, FailureCode, ServiceError
from aegis_dagster.office import Office, use
from aegis_dagster.workers import kernel
from aegis_dagster.workers.confinement import confine, end_group
from aegis_dagster.workers.office_process import start as start_office

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # not the document's fault
_SAID = 4000  # characters of what a library said, for the log
_M_MMAP_THRESHOLD = -3  # malloc.h
_GROWN = 32 << 20  # bytes
_READ = "check that the file is still there and readable; `aegis retry` tries again."

TASKS = {
    "check": "aegis_dagster.parsing.tasks:check_task",
    "parse": "aegis_dagster.parsing.tasks:parse_task",
    "chunk": "aegis_dagster.chunking.tasks:chunk_task",
    "picture_facts": "aegis_dagster.pictures.select:picture_facts_task",
    "ocr": "aegis_dagster.pictures.ocr:ocr_task",
    "embed": "aegis_dagster.embedding.tasks:embed_task",
}


def main() -> None:
    """Answer requests until stdin ends."""
    work(json.loads(sys.argv[1]))


def work(given: dict[str, Any]) -> NoReturn:
    """Confine this process, which has one thread, as it is told; then answer requests until stdin ends."""
    if office := given.pop("office", None):
        # Before the walls: a worker starts no program, so the process that does is started now.
        installed = Office(office["program"], office["version"], frozenset(office["formats"]))
        use(start_office(installed, Path(tempfile.gettempdir()), given["memory_mb"]))
    confine(**given)
    # Each large block apart from the heap, where OCR leaves holes: 130 MB less at its highest, for more CPU seconds.
    _libc("mallopt", _M_MMAP_THRESHOLD, 1 << 20)
    requests, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the output of a library must not get into the protocol
    threading.Thread(target=_end_with_parent, daemon=True).start()
    trimmed = 0
    for request in requests:
        json.dump(answer(json.loads(request)), answers, ensure_ascii=True)
        answers.write("\n")
        answers.flush()
        # glibc keeps 200 MB after a scan, and a worker that seems too large is replaced.
        if kernel.resident_bytes(os.getpid()) > trimmed + _GROWN:
            _libc("malloc_trim", 0)
            trimmed = kernel.resident_bytes(os.getpid())
    end_group()


def _libc(function: str, *arguments: int) -> None:
    """Call a function of glibc; other C libraries lack it."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, function):
        getattr(libc, function)(*arguments)


def _end_with_parent() -> None:
    """Wait until nobody can write to stdin any more, and end the process in the middle of its task."""
    ends = select.poll()
    ends.register(0, 0)  # no event but the end
    ends.poll()
    end_group()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do one task. Returns its result or its error."""
    try:
        return {"result": _task(request["task"])(request["payload"])}
    except DocumentError as error:
        return _failure(error.code, error.message, error.remedy, error.retryable, error.__cause__)
    except ServiceError as error:
        return {"service_error": {"message": error.message, "remedy": error.remedy}}
    except AegisError as error:
        return {"operator_error": {"message": error.message, "remedy": error.remedy}}
    except OSError as error:
        if error.errno == errno.EFBIG:
            return _failure(FailureCode.TOO_LARGE, "A result of it is larger than 1 GiB.", "split the document.", False)
        if error.errno not in _DISK_ERRORS:
            return _failure(FailureCode.UNREADABLE_FILE, f"It cannot be read: {error.strerror or error}.", _READ, True)
        remedy = "free space on the disk of AEGIS_HOME, or make it writable."
        return {"service_error": {"message": f"A result cannot be written: {error.strerror}.", "remedy": remedy}}
    except MemoryError:
        return _failure(FailureCode.MEMORY_LIMIT, "It needs more memory than there is.", "split the document.", True)
    except Exception as error:
        remedy = "this is a defect of aegis_dagster: report it with what the log says; `aegis retry` tries again."
        message = f"The worker stopped with {type(error).__name__}, which nobody expected."
        return _failure(FailureCode.INTERNAL_ERROR, message, remedy, False, error)


def _failure(
    code: FailureCode, message: str, remedy: str, retryable: bool, cause: BaseException | None = None
) -> dict[str, Any]:
    said = "".join(traceback.format_exception(cause))[-_SAID:] if cause is not None else ""
    return {"error": {"code": code, "message": message, "remedy": remedy, "retryable": retryable, "said": said}}


def _task(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    module, function = TASKS[name].split(":")
    task: Callable[[dict[str, Any]], dict[str, Any]] = getattr(importlib.import_module(module), function)
    return task


if __name__ == "__main__":
    main()
