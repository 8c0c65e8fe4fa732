"""A stand-in for docling-serve 1.38 on loopback: its routes, answers and refusals, and the failures of a server.

What it answers was compared with the real package. It reads the lines of a PDF by pdfium, and knows no layout.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

VERSIONS = {
    "docling-serve": "1.38.2",
    "docling-jobkit": "3.9.1",
    "docling": "2.143.0",
    "docling-core": "2.104.0",
    "docling-ibm-models": "4.0.4",
    "docling-parse": "7.23.1",
    "python": "cpython-311 (3.11.7)",
    "plaform": "Linux",
}
_BOUNDARY = re.compile(r"boundary=\"?([^\";]+)")
_NAME = re.compile(rb'name="([^"]*)"(?:; filename="([^"]*)")?')


@dataclass(slots=True)
class Submission:
    """A file that was submitted."""

    name: str
    data: bytes
    options: dict[str, list[str]]
    headers: dict[str, str]  # by name in small letters


@dataclass(slots=True)
class _Job:
    data: bytes
    polls: int = 0


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


@dataclass(slots=True)
class ServeStandIn:
    """The server; what it does may be changed while it runs. Stopped and started again, it has forgotten every job."""

    port: int = 0
    api_key: str = ""
    versions: dict[str, str] = field(default_factory=lambda: dict(VERSIONS))
    polls: int = 1  # until a job has ended
    refusals: list[tuple[str, int, str]] = field(default_factory=list)  # part of a path, status, body: once each
    queued: bool = False  # no job begins
    failure: dict[str, Any] | None = None  # of every job: fields of its status
    forget_after_submitting: int = 0  # so many jobs are lost
    forget_results: int = 0  # so many results have expired
    answer: Callable[[dict[str, Any]], bytes] = field(default=lambda values: json.dumps(values).encode())
    submissions: list[Submission] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    at_work: threading.Event = field(default_factory=threading.Event)  # set as soon as a file was submitted
    _jobs: dict[str, _Job] = field(default_factory=dict)
    _listener: _Listener | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the same port as before."""
        stand_in = self

        class Handler(_Handler):
            server_is = stand_in

        self._listener = _Listener(("127.0.0.1", self.port), Handler)
        self.port = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on, and forget every job."""
        if self._listener is not None and self._thread is not None:
            self._listener.shutdown()
            self._thread.join()
            self._listener.server_close()
        self._listener = None
        self._jobs.clear()

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        if path == "/version":
            return 200, json.dumps(self.versions).encode()
        if path == "/openapi.json":
            return 200, json.dumps({"info": {"version": self.versions["docling-serve"]}}).encode()
        task_id = path.rpartition("/")[2]
        job = self._jobs.get(task_id)
        if path.startswith("/v1/status/poll/"):
            if job is None:
                return 404, b'{"detail":"Task not found."}'
            job.polls += 1
            return 200, self._status(task_id, job)
        if path.startswith("/v1/result/"):
            return self._result(task_id, job)
        return 404, b'{"detail":"Not Found"}'

    def submit(self, submission: Submission) -> tuple[int, bytes]:
        """Status and body."""
        self.submissions.append(submission)
        task_id, job = str(uuid.uuid4()), _Job(submission.data)
        if self.forget_after_submitting:
            self.forget_after_submitting -= 1
        else:
            self._jobs[task_id] = job
        self.at_work.set()
        return 200, self._status(task_id, job)

    def _status(self, task_id: str, job: _Job) -> bytes:
        state = "success" if job.polls >= self.polls else ("started" if job.polls and not self.queued else "pending")
        told: dict[str, Any] = {"task_id": task_id, "task_type": "convert", "task_status": state}
        told |= {"task_position": 1 if state == "pending" else None, "task_meta": None}
        told |= {"error_message": None, "failure": None}
        if self.failure is not None and state == "success":
            told |= {"task_status": "failure", **self.failure}
        return json.dumps(told).encode()

    def _result(self, task_id: str, job: _Job | None) -> tuple[int, bytes]:
        if job is None:
            return 404, b'{"detail":"Task not found."}'
        if self.forget_results:
            self.forget_results -= 1
            return 404, b'{"detail":"Task result not found. Please wait for a completion status."}'
        return 200, self.answer(converted(job.data))


class _Handler(BaseHTTPRequestHandler):
    server_is: ServeStandIn
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(lambda path: self.server_is.get(path))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(lambda path: self.server_is.submit(self._submission(body)))

    def _answer(self, does: Callable[[str], tuple[int, bytes]]) -> None:
        served, path = self.server_is, urlsplit(self.path).path
        served.paths.append(self.path)
        status, body = self._refused(path) or does(path)
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _refused(self, path: str) -> tuple[int, bytes] | None:
        served = self.server_is
        for refusal in served.refusals:
            if refusal[0] in path:
                served.refusals.remove(refusal)
                return refusal[1], refusal[2].encode()
        if path.startswith("/v1/") and served.api_key and self.headers.get("X-Api-Key") != served.api_key:
            return 401, b'{"detail":null}'
        return None

    def _submission(self, body: bytes) -> Submission:
        found = _BOUNDARY.search(self.headers["Content-Type"])
        assert found is not None
        options: dict[str, list[str]] = {}
        name, data = "", b""
        for part in body.split(b"--" + found[1].encode())[1:-1]:
            head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            said = _NAME.search(head)
            assert said is not None
            if said[2] is not None:
                name, data = said[2].decode(), value.removesuffix(b"\r\n")
            else:
                options.setdefault(said[1].decode(), []).append(value.removesuffix(b"\r\n").decode())
        headers = {key.lower(): value for key, value in self.headers.items()}
        return Submission(name, data, options, headers)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def converted(data: bytes) -> dict[str, Any]:
    """A result as docling-serve writes it: the lines of each page as texts with places."""
    import pypdfium2
    from docling_core.types.doc.base import BoundingBox, Size
    from docling_core.types.doc.common.reference import ProvenanceItem
    from docling_core.types.doc.document import DoclingDocument
    from docling_core.types.doc.labels import DocItemLabel

    document, file = DoclingDocument(name="file"), pypdfium2.PdfDocument(data)
    for number, page in enumerate(file, start=1):
        document.add_page(page_no=number, size=Size(width=page.get_width(), height=page.get_height()))
        for row, line in enumerate(page.get_textpage().get_text_range().splitlines()):
            box = BoundingBox(l=50, t=700 - 20 * row, r=500, b=685 - 20 * row)
            place = ProvenanceItem(page_no=number, bbox=box, charspan=(0, len(line)))
            document.add_text(DocItemLabel.TEXT, line, prov=place)
    file.close()
    return {
        "document": {"filename": "file.pdf", "json_content": document.export_to_dict(), "md_content": None},
        "status": "success",
        "errors": [],
        "processing_time": 0.1,
        "timings": {},
        "confidence": {"ocr_score": None, "pages": {"1": {"ocr_score": None}}},
    }


@contextmanager
def serve_stand_in() -> Iterator[ServeStandIn]:
    """A server that works; it ends with the block."""
    server = ServeStandIn()
    server.start()
    try:
        yield server
    finally:
        server.stop()
