"""A relay in front of a server: while it is stopped, the server is not there, and keeps what it holds."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

_BLOCK = 65_536


class Relay:
    """Passes every connection on, from a port of its own."""

    def __init__(self, target: str) -> None:
        """target: the address of a server, `http://host:port`."""
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.bytes_passed = 0  # to the server
        self.asked = threading.Event()  # set when a connection brings something; tests clear it

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before."""
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)

    def stop(self) -> None:
        """Refuse connections from now on, and break those that are open."""
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(30)

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, onward = await asyncio.open_connection(*self._target)
            self._open |= {writer, onward}
            try:
                await asyncio.gather(self._pass(reader, onward, counted=True), self._pass(there, writer))
            finally:
                self._open -= {writer, onward}
                for each in (writer, onward):
                    each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        with suppress(OSError):
            while block := await reader.read(_BLOCK):
                if counted:
                    self.bytes_passed += len(block)
                    self.asked.set()
                writer.write(block)
                await writer.drain()
        writer.close()


@contextmanager
def relay_to(target: str) -> Iterator[Relay]:
    """A relay that works; it ends with the block."""
    relay = Relay(target)
    relay.start()
    try:
        yield relay
    finally:
        relay.close()
