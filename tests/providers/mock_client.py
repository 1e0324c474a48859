"""A transport that answers from a function, in httpx2's vocabulary: requests in, responses out, its errors as ours."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

import httpx2

from dynaroute_mcp.providers.client import BadCompression, ClientFault, ConnectTimedOut, Outbound

Handler = (
    Callable[[httpx2.Request], httpx2.Response]
    | Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]]
)


class Mocked:
    """Stands in for the network."""

    def __init__(self, handler: Handler) -> None:
        self._wire = httpx2.MockTransport(handler)

    async def send(self, request: Outbound) -> "Answered":
        sent = httpx2.Request(
            request.method, request.url, headers=dict(request.headers), content=request.body
        )
        try:
            response = await self._wire.handle_async_request(sent)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise ConnectTimedOut(type(error).__name__) from error
        except (httpx2.HTTPError, OSError) as error:
            raise ClientFault(type(error).__name__) from error
        return Answered(response)


class Answered:
    """One answer; closing it closes the response's stream."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._pieces: AsyncIterator[bytes] = response.aiter_bytes()
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        try:
            async for piece in self._pieces:
                if piece:
                    return piece
        except httpx2.DecodingError as error:
            raise BadCompression(type(error).__name__) from error
        except (httpx2.HTTPError, OSError) as error:
            raise ClientFault(type(error).__name__) from error
        return b""

    def close(self) -> None:
        if isinstance(self._response.stream, Pieces):
            self._response.stream.closed = True


class Pieces(httpx2.AsyncByteStream):
    """A body that arrives in pieces, as fast as its iterator gives them; notes when it is closed."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece
