"""docling's client of docling-serve, with a limit for answers, which are a stranger's.

Import it inside functions only: it imports docling, which takes seconds.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from docling.datamodel.service.options import ConvertDocumentsOptions
from docling.service_client import AsyncDoclingServiceClient, StatusWatcherKind

from aegis_dagster.errors import DocumentError, FailureCode

_MOST_BYTES = 256_000_000  # of one answer: more than thousand pages of text, without pictures
_SMALL_BYTES = 100_000  # of an answer that says why there is no result


class ServeClient(AsyncDoclingServiceClient):
    """One connection pool to a server. It tries nothing again: who calls it decides that.

    Status is polled: docling's other way, a web socket, puts the key into an address, which servers log.
    """

    def __init__(self, url: str, api_key: str, options: ConvertDocumentsOptions) -> None:
        super().__init__(
            url, api_key, options=options, status_watcher=StatusWatcherKind.POLLING, http_retries=0, job_timeout=0
        )

    async def __aenter__(self) -> "ServeClient":
        await super().__aenter__()
        opened = self._async_client
        assert opened is not None
        await opened.aclose()
        # docling's client reads answers of any length, and takes proxies from the environment.
        self._async_client = httpx.AsyncClient(
            headers={**opened.headers, "Accept-Encoding": "identity"},
            timeout=opened.timeout,
            transport=_Limited(httpx.AsyncHTTPTransport()),
        )
        return self

    async def save_result(self, task_id: str, last_status: Any, file: Path) -> None:
        """Write the result of a job that has ended well to a file, as it is. Raises as `AsyncConversionJob.result`."""
        assert self._async_client is not None
        try:
            async with self._async_client.stream("GET", self._url(f"/v1/result/{task_id}")) as response:
                if response.status_code == 200:
                    with file.open("wb") as written:
                        async for part in response.aiter_raw():
                            written.write(part)
                    return
                await response.aread()
        except httpx.HTTPError as error:
            raise _unavailable(error) from error
        if response.status_code == 404:
            self._raise_for_result_404(task_id, response, last_status)
        self._raise_for_generic_http_error(response, "Its result cannot be fetched.")


def _unavailable(error: httpx.HTTPError) -> Exception:
    from docling.service_client import ServiceUnavailableError

    return ServiceUnavailableError("The server cannot be reached.", detail=type(error).__name__)


class _Limited(httpx.AsyncBaseTransport):
    """Ends an answer that is too long while it is read."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        response = await self._transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        most = _MOST_BYTES if "/v1/result/" in request.url.path and response.status_code == 200 else _SMALL_BYTES
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
        return httpx.Response(
            response.status_code,
            headers=headers,
            stream=_LimitedStream(response.stream, most),
            extensions=response.extensions,
        )

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """See httpx."""
        await self._transport.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        """See httpx."""
        await self._transport.aclose()


class _LimitedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self._stream:
            read += len(part)
            if read > self._most:
                raise DocumentError(
                    FailureCode.TOO_LARGE,
                    f"docling-serve's answer has more than {self._most / 1e6:g} MB.",
                    remedy="split the document.",
                )
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
