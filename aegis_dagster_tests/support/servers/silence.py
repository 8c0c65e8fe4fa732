"""Roots that stop answering: a web server that accepts but never answers, a mount whose server is gone."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

_DETACH = 2  # MNT_DETACH


class WebServer(ThreadingHTTPServer):
    """The files of a folder over HTTP; silent about the paths that hold a word while `answers` is not set."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
        self.answers = threading.Event()
        self.answers.set()
        self.word = "/"

    @property
    def url(self) -> str:
        """Of the folder."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def silence(self, word: str = "/") -> None:
        """Accept requests, and answer none whose path holds the word."""
        self.word = word
        self.answers.clear()


class _Handler(SimpleHTTPRequestHandler):
    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # whoever asked is gone
            super().handle_one_request()

    def parse_request(self) -> bool:
        asked = super().parse_request()
        server = self.server
        if asked and isinstance(server, WebServer) and server.word in self.path:
            server.answers.wait(120)
        return asked

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """A server that answers; it ends with the block."""
    server = WebServer(folder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.answers.set()
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def dead_mount(folder: Path) -> Iterator[None]:
    """A filesystem over a folder that lets every question wait, as NFS whose server is gone; unmounted after the block.

    It is a FUSE filesystem that nobody serves, so that only root may mount it.
    """
    try:
        connection = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        pytest.skip(f"No FUSE filesystem can be made here: {error.strerror}; `modprobe fuse`, as root.")
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={connection},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if libc.mount(b"dead", os.fsencode(folder), b"fuse.dead", 0, options.encode()):
        os.close(connection)
        pytest.skip(f"No filesystem can be mounted here: {os.strerror(ctypes.get_errno())}; run the tests as root.")
    try:
        yield
    finally:
        os.close(connection)  # whoever waits is told that the connection is broken
        libc.umount2(os.fsencode(folder), _DETACH)
