"""How test servers break a connection off."""

import socket
import struct

from aiohttp import web


def reset(request: web.Request) -> web.Response:
    """Reset the connection: RST, not FIN."""
    if request.transport is not None:
        connection: socket.socket | None = request.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()
