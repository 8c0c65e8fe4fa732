"""Serve a folder on loopback: `python -m ....qdrant_server FOLDER PORT [TLS_PORT CERTIFICATE KEY]`."""

import asyncio
import signal
import ssl
import sys
from pathlib import Path

from aiohttp import web

from aegis_dagster_tests.support.qdrant_server.app import QdrantApp


async def serve(folder: Path, port: int, *secure: str) -> None:
    """Until SIGTERM."""
    runner = web.AppRunner(QdrantApp(folder).application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    if secure:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*secure[1:])
        await web.TCPSite(runner, "127.0.0.1", int(secure[0]), ssl_context=tls).start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
