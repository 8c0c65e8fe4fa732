"""The front door: what stands between a browser and Dagster's webserver.

Dagster asks neither for whom a request was meant nor who sent it, and changes things for a GET. So any page that
somebody has open, and any picture in a document, could give it orders through the browser. Who somebody is, nobody is
asked here either: that is the work of a proxy in front (docs/guides/DEPLOYMENT.md).
"""

import ipaddress
import re
from collections.abc import Collection

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]+)?", re.IGNORECASE)
_READS = ("GET", "HEAD", "OPTIONS")
_FROM_HERE = ("same-origin", "none")  # none: a person typed the address, or no browser

# A second policy beside the one of Dagster's own page, whose nonce holds as well: a browser follows both.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; worker-src 'self' blob:; frame-src 'none'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class FrontDoor:
    """Lets requests of Dagster's own pages and of programs on this machine through, and refuses others in words."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        """hosts: names besides those of this machine under which people open it."""
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or connection, as ASGI wants it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def protected(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.append("Content-Security-Policy", _POLICY)
            await send(message)

        why = self._refusal(HTTPConnection(scope))
        if not why:
            await self._app(scope, receive, protected)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, protected).send_denial_response(PlainTextResponse(why, 403))
        else:
            await PlainTextResponse(why, 403)(scope, receive, protected)

    def _refusal(self, request: HTTPConnection) -> str:
        """Why a request is refused, and what to do; "" if it is not."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return (
                f"Refused: this Dagster is not served as {', '.join(hosts)!r}. Remedy: open it as "
                "http://127.0.0.1:PORT, or set alerts.dagster_url (AEGIS_ALERTS__DAGSTER_URL) to the address that "
                "people open, and start it again.\n"
            )
        if _is_foreign(request, hosts[0]):
            return (
                "Refused: another site's page sent this. Remedy: open Dagster itself; a proxy in front must pass the "
                "header Host on as the browser sent it.\n"
            )
        if request.scope["type"] == "websocket":
            return ""
        if request.scope["method"] not in _READS:
            kinds = request.headers.getlist("content-type")
            if [kind.partition(";")[0].strip().lower() for kind in kinds] != ["application/json"]:
                return "Refused: what changes something is sent as JSON. Remedy: add Content-Type: application/json.\n"
        elif any(_changes(query) for query in request.query_params.getlist("query")):
            return "Refused: a mutation by GET. Remedy: send it by POST, with Content-Type: application/json.\n"
        return ""

    def _is_ours(self, host: str) -> bool:
        """Whether it names this machine. Any other name may be one that a foreign site made point here."""
        name = host_name(host)
        if name == "localhost" or name in self._hosts:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def host_name(host: str) -> str:
    """The name in a Host header, without its port and in small letters; "" if something else stands there."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def _is_foreign(request: HTTPConnection, host: str) -> bool:
    """Whether a page of another site caused the request. A person who follows a link to a page here did not."""
    ours = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
    if any(origin.lower() not in ours for origin in request.headers.getlist("origin")):
        return True
    sites, to = request.headers.getlist("sec-fetch-site"), request.headers.get("sec-fetch-dest")
    followed = to == "document" and request.scope.get("method") == "GET"
    return any(site not in _FROM_HERE for site in sites) and not followed


def _changes(query: str) -> bool:
    """Whether a GraphQL text holds a mutation. One that cannot be read does nothing: Dagster says what is wrong."""
    try:
        found = parse(query, no_location=True)
    except GraphQLError:
        return False
    return any(
        isinstance(each, OperationDefinitionNode) and each.operation is OperationType.MUTATION
        for each in found.definitions
    )
