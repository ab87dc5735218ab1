# A device program: does one thing over a transport whose nth call raises, for n = 1, 2, 3 … until it is done without.
#
# Request, in the environment: what (of JOBS), error, url, port, plain (URL), cafile, folder.
# Reports: raised (names of the calls that raised), ends (what came of it), left (what raised when something stayed
# open, before the collector could help).

import asyncio
import gc
import io
import json
import os
import select
import socket

import rootlet
from rootlet import http, tofu
from rootlet.slots import Slots
from rootlet.updater import Updater

request = json.loads(os.getenv("REQUEST"))
HOST = "board.example.org"
ERRORS = {
    "interrupt": KeyboardInterrupt,
    "memory": lambda: MemoryError("of the test"),
    "broken": lambda: OSError(5),
}


class Stream(io.IOBase):
    def __init__(self, transport):
        self.transport = transport
        self.sock = socket.socket()
        self.sock.connect(socket.getaddrinfo("127.0.0.1", transport.port)[0][-1])
        transport.open += 1

    def readinto(self, buffer, *n):
        self.transport.count("readinto")
        return self.sock.readinto(buffer, *n)

    def readline(self, n):
        self.transport.count("readline")
        return self.sock.readline(n)

    def read(self, n):
        self.transport.count("read")
        return self.sock.read(n)

    def write(self, data):
        self.transport.count("write")
        return self.sock.write(data)

    def setblocking(self, flag):
        self.transport.count("setblocking")
        self.sock.setblocking(flag)

    def settimeout(self, seconds):
        self.transport.count("settimeout")
        self.sock.settimeout(seconds)

    def ioctl(self, request, argument):
        if request != 3:
            return -1
        poller = select.poll()
        poller.register(self.sock, argument)
        return poller.poll(0)[0][1] if poller.poll(0) else 0

    def close(self):
        if self.sock:
            self.transport.open -= 1
            self.sock.close()
            self.sock = None


class Transport:
    def __init__(self, nth):
        self.left = nth
        self.raised = None
        self.open = 0
        self.port = request["port"]

    def count(self, name):
        self.left -= 1
        if not self.left:
            self.raised = name
            raise ERRORS[request["error"]]()

    def connect(self, host, port, timeout_ms):
        self.port = port
        return Stream(self)

    async def connect_async(self, host, port, timeout_ms):
        return self.connect(host, port, timeout_ms)


def get(transport):
    with http.get(request["url"], context, transport=transport) as response:
        response.read()


def client(transport):
    with http.Client(context, transport=transport) as made:
        for method in ("GET", "POST"):
            with made.request(method, request["url"]) as response:
                response.read()
        made.download(request["url"], request["folder"] + "/file")


def plain_client(transport):
    with http.Client(context, transport=transport, allow_http=True) as made:
        made.get(request["plain"]).read()


async def requests_in_asyncio(transport):
    async with http.AsyncClient(context, transport=transport, allow_http=True) as made:
        for url in (request["url"], request["plain"]):
            async with await made.get(url) as response:
                await response.read()


def in_asyncio(transport):
    asyncio.run(requests_in_asyncio(transport))


def connect(transport):
    with rootlet.connect(HOST, request["port"], context, transport=transport) as connection:
        connection.write(b"GET / HTTP/1.0\r\n\r\n")
        connection.read()


def upgrade(transport):
    with rootlet.upgrade(Stream(transport), HOST, context) as connection:
        connection.write(b"GET / HTTP/1.0\r\n\r\n")
        connection.read()


def first_use(transport):
    path = request["folder"] + "/known.der"
    try:
        os.remove(path)
    except OSError:
        pass
    tofu.context(path, HOST, request["port"], confirm=lambda _: True, transport=transport)


def update(transport):
    updater = Updater(
        Slots(request["folder"] + "/roots.rtlt"), [request["url"], request["plain"]], context, transport=transport
    )
    updater.run()
    assert updater.outcome == "failed" and updater.error  # nobody here has a store


class Unreachable:
    async def connect_async(self, host, port, timeout_ms):
        await asyncio.sleep(60)


def unreachable(transport):
    async def ask():
        made = http.AsyncClient(context, transport=Unreachable(), allow_http=True, timeout_ms=200)
        try:
            await made.get(request["url"])
        except rootlet.TLSError as error:
            report["report"] = type(error).__name__

    asyncio.run(ask())


JOBS = {
    "get": get,
    "client": client,
    "plain client": plain_client,
    "asyncio": in_asyncio,
    "connect": connect,
    "upgrade": upgrade,
    "tofu": first_use,
    "update": update,
    "unreachable": unreachable,
}
context = rootlet.Context(cafile=request["cafile"])
report = {"raised": [], "ends": [], "left": []}
nth = 0
gc.collect()
while True:
    nth += 1
    transport = Transport(nth)
    try:
        JOBS[request["what"]](transport)
        end = "nothing"
    except rootlet.TLSError:
        end = "TLSError"
    except BaseException as error:
        end = type(error).__name__
    if transport.open:
        report["left"].append(transport.raised)
    if transport.raised is None:
        break
    report["raised"].append(transport.raised)
    report["ends"].append(end)
report["last"] = end
print(json.dumps(report))
