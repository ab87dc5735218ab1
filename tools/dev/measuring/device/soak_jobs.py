# The kinds of requests that soak makes. Each job gets its kind: `port`, and what else is named there. It returns when all
# was as it must be, and raises otherwise.

import asyncio
import socket
import sys
import tls

import rootlet
from rootlet import http, starttls
from rootlet.http import AsyncClient, Client

_LOOPBACK = "127.0.0.1"
# CON GET /.well-known/core, message 1, and the beginning of its acknowledgement with 2.05 Content: RFC 7252, 3.
_COAP_GET = b"\x40\x01\x00\x01\xbb.well-known\x04core"
_COAP_ANSWER = b"\x60\x45\x00\x01"


class WrongAnswer(Exception):
    pass


class Jobs:
    def __init__(self, request):
        self.host = request["host"]
        self.stores = request["stores"]
        self.timeout_ms = request["timeout_ms"]
        self.body = request["body"].encode()
        self.buffer = bytearray(len(self.body) + 1)
        self.context = rootlet.Context(stores=self.stores, timeout_ms=self.timeout_ms)
        self.contexts = {}
        self.clients = {}
        self.modems = {}
        self.modules = request["modules"]
        self.native_port = request["native_port"]

    def prepare(self, kind):
        """The method that does the kind's job. Raises UnsupportedError where the firmware cannot."""
        if "psk" in kind:
            self.contexts[kind["name"]] = rootlet.Context(psk=(kind["psk"][0], bytes.fromhex(kind["psk"][1])))
        elif "client_cert" in kind:
            self.contexts[kind["name"]] = rootlet.Context(
                stores=self.stores, client_cert=kind["client_cert"], client_key=kind["client_key"]
            )
        if kind["job"][:9] == "datagrams" and not hasattr(tls, "PROTOCOL_DTLS_CLIENT"):
            raise rootlet.UnsupportedError("this firmware has no DTLS")
        if kind["job"] == "through_modem":
            if self.modules not in sys.path:
                sys.path.append(self.modules)
            from pty_uart import PtyUart
            from rootlet.modem import SIM800

            self.modems[kind["name"]] = SIM800(PtyUart(kind["pty"]), apn="internet", rx_bytes=1460)
        return getattr(self, kind["job"])

    def rest(self):
        """Closes what is open only because it may be of use again."""
        for client in self.clients.values():
            client.close()
        for modem in self.modems.values():
            for _ in range(2000):
                if not modem.streams:
                    break
                modem.pump()

    def url(self, kind):
        return "https://%s:%d%s" % (self.host, kind["port"], kind.get("path", "/"))

    def check(self, body):
        if body != self.body:
            raise WrongAnswer("%d bytes came that were not sent" % len(body))

    # Jobs.

    def get(self, kind):
        """A GET on a connection of its own."""
        context = self.contexts.get(kind["name"]) or self.context
        timeout_ms = kind.get("timeout_ms", self.timeout_ms)
        with http.get(self.url(kind), context, timeout_ms=timeout_ms, address=_LOOPBACK) as response:
            n = 0
            while True:
                got = response.readinto(memoryview(self.buffer)[n:])
                if not got:
                    break
                n += got
            self.check(memoryview(self.buffer)[:n])

    def get_anew(self, kind):
        """A GET with a Context of its own, as after a store was replaced."""
        context = rootlet.Context(stores=self.stores)
        with http.get(self.url(kind), context, address=_LOOPBACK) as response:
            self.check(response.read())

    def client_get(self, kind):
        """A GET of a client that keeps its connection if the server does."""
        client = self.clients.get(kind["name"])
        if client is None:
            client = self.clients[kind["name"]] = Client(
                self.context, self.timeout_ms, address=_LOOPBACK, compressed=kind.get("compressed", False)
            )
        with client.get(self.url(kind)) as response:
            self.check(response.read())

    def raw(self, kind):
        """A connection, something said, and everything that comes."""
        context = self.contexts.get(kind["name"]) or self.context
        with rootlet.connect(self.host, kind["port"], context, address=_LOOPBACK, timeout_ms=self.timeout_ms) as c:
            c.write(kind["say"].encode())
            if kind["hear"].encode() not in c.read():
                raise WrongAnswer("another answer than expected")

    def upgrade(self, kind):
        """STARTTLS."""
        sock = socket.socket()
        try:
            sock.connect(socket.getaddrinfo(_LOOPBACK, kind["port"])[0][-1])
            sock.write(b"STARTTLS\r\n")
            sock.readline()
        except BaseException:
            sock.close()
            raise
        with starttls.upgrade(sock, self.host, self.context, self.timeout_ms) as c:
            c.write(b"hello\r\n")
            self.check(c.read(len(self.body)))

    def in_asyncio(self, kind):
        """Side by side: a GET, another that is refused, and one that is cancelled somewhere in its handshake."""
        kind["turns"] = turns = (kind.get("turns", 0) + 1) % 12
        try:
            asyncio.run(self._in_asyncio(kind, turns))
        finally:
            asyncio.new_event_loop()  # without the tasks that a failure left

    async def _in_asyncio(self, kind, turns):
        cancelled = asyncio.create_task(self._open(kind["port"]))
        refused = asyncio.create_task(self._refused(kind["refusing_port"]))
        async with AsyncClient(self.context, self.timeout_ms, address=_LOOPBACK) as client:
            getting = asyncio.create_task(self._get(client, kind))
            for _ in range(turns):
                await asyncio.sleep_ms(0)
            cancelled.cancel()
            await getting
        await refused
        try:
            await cancelled
        except asyncio.CancelledError:
            pass

    async def _get(self, client, kind):
        async with await client.get(self.url(kind)) as response:
            self.check(await response.read())

    async def _open(self, port):
        _, writer = await rootlet.open_connection(self.host, port, self.context, address=_LOOPBACK)
        writer.close()

    async def _refused(self, port):
        try:
            await self._open(port)
        except rootlet.HostnameError:
            return
        raise WrongAnswer("another host's certificate was accepted")

    def datagrams(self, kind):
        """A GET of CoAP over DTLS."""
        from rootlet import dtls

        context = self.contexts.get(kind["name"]) or self.context
        timeout_ms = kind.get("timeout_ms", self.timeout_ms)
        with dtls.connect(self.host, kind["port"], context, address=_LOOPBACK, timeout_ms=timeout_ms) as c:
            c.send(_COAP_GET)
            answer = c.recv(timeout_ms=timeout_ms)
            if not answer or answer[:4] != _COAP_ANSWER:
                raise WrongAnswer("another datagram than expected")

    def datagrams_in_asyncio(self, kind):
        """The same, while another handshake is cancelled."""
        try:
            asyncio.run(self._datagrams(kind))
        finally:
            asyncio.new_event_loop()  # without the tasks that a failure left

    async def _datagrams(self, kind):
        from rootlet import dtls

        cancelled = asyncio.create_task(dtls.connect_async(self.host, kind["port"], self.context, address=_LOOPBACK))
        async with await dtls.connect_async(self.host, kind["port"], self.context, address=_LOOPBACK) as c:
            cancelled.cancel()
            await c.send(_COAP_GET)
            answer = await c.recv(timeout_ms=self.timeout_ms)
            if not answer or answer[:4] != _COAP_ANSWER:
                raise WrongAnswer("another datagram than expected")
        try:
            (await cancelled).close()
        except asyncio.CancelledError:
            pass

    def through_modem(self, kind):
        """A GET through an emulated modem."""
        modem = self.modems[kind["name"]]
        if modem.address is None:
            modem.up(60_000)
        with http.get(self.url(kind), self.context, timeout_ms=20_000, transport=modem) as response:
            self.check(response.read())

    # On purpose.

    def lose_native(self):
        """Loses some memory of Mbed TLS: what MicroPython does when a verify callback raises."""
        sock = socket.socket()
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_callback = _raise
        try:
            sock.connect(socket.getaddrinfo(_LOOPBACK, self.native_port)[0][-1])
            context.wrap_socket(sock, server_hostname=self.host)
        except ZeroDivisionError:
            pass
        finally:
            sock.close()


def _raise(der, depth):
    return 1 // 0
