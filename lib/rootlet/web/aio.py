"""The HTTP client for asyncio: the same, awaited."""

from asyncio import TimeoutError, wait_for_ms

from ..aio import _in_time, _until_ready, dial, open_connection
from .client import Client
from .link import Link


class AsyncLink(Link):
    async def _ready(self, to_write, left_ms):
        try:
            if left_ms < 0:
                await _until_ready(self.sock, to_write)
            else:
                await wait_for_ms(_until_ready(self.sock, to_write), left_ms)
        except TimeoutError:
            return False
        return True


class AsyncClient(Client):
    """Client whose methods, and those of its responses, are awaited:

    async with AsyncClient(context) as client:
        async with await client.get("https://example.org/") as response:
            print(await response.read())

    For one task at a time; a task that is cancelled leaves no connection open.
    """

    @staticmethod
    def do(steps):
        return steps

    async def _open(self, origin, timeout_ms):
        secure, host, port = origin
        host = host.strip("[]")
        if not secure:
            where = self._address or host
            dialling = dial(where, port, timeout_ms, self._transport)
            sock, _ = await _in_time(dialling, timeout_ms, "%s port %d" % (where, port))
            return AsyncLink(origin, sock, sock)
        context = self._context
        stream, _ = await open_connection(host, port, context, None, self._address, timeout_ms, self._transport)
        if stream._first:
            from ..errors import HTTPError

            stream.close()
            raise HTTPError("%s speaks before it is asked" % host)
        return AsyncLink(origin, stream.s, stream._sock)
