# A device program: tries everything that rootlet can do and prints what became of it, in JSON: [[name, "yes" or words]].
#
# Request, in JSON in the environment: host, the ports of servers by name, ca, board and stranger (paths of PEM files),
# stores (paths of a signed store and of the publisher's certificate, DER), key (hexadecimal).

import asyncio
import gc
import json
import os
import socket
from binascii import unhexlify

import rootlet

request = json.loads(os.getenv("REQUEST"))
HOST = request["host"]
PORT = request["ports"]
GET = b"GET / HTTP/1.0\r\n\r\n"
found = []


def capability(name):
    def run(function):
        gc.collect()
        try:
            said = function()
            found.append((name, "yes" if said is None else said))
        except Exception as error:
            found.append((name, type(error).__name__ + ("" if isinstance(error, rootlet.TLSError) else ": %s" % error)))

    return run


def trusting(**options):
    return rootlet.Context(cafile=request["ca"], **options)


def connect(name, context=None, host=HOST):
    return rootlet.connect(host, PORT[name], context or trusting(), address="127.0.0.1")


def talk(stream):
    with stream:
        stream.write(GET)
        assert stream.read()[-5:] == b"hello"


def refused(kind, attempt, *arguments, **options):
    try:
        attempt(*arguments, **options).close()
    except kind:
        return None
    return "accepted"


@capability("import: nothing is missing")
def _():
    from rootlet import firmware

    return ", ".join(firmware.lacks()) or None


@capability("protocol with a server of TLS 1.2 and 1.3")
def _():
    with connect("modern") as c:
        return c.cipher()[1]


@capability("protocol with a server of TLS 1.2 only")
def _():
    with connect("older") as c:
        return c.cipher()[1]


@capability("server of TLS 1.3 only")
def _():
    talk(connect("new"))


@capability("connections for the first visit, TLS 1.2 / 1.3")
def _():
    made = []
    from rootlet import handshake

    run = handshake.Handshake.run

    def counted(self):
        made[-1] += 1
        return run(self)

    handshake.Handshake.run = counted
    try:
        for name in ("older", "modern"):
            made.append(0)
            connect(name).close()
    finally:
        handshake.Handshake.run = run
    return " / ".join([str(n) for n in made])


@capability("the whole Mozilla store")
def _():
    return refused(rootlet.UnknownIssuerError, connect, "modern", rootlet.Context(store=request["mozilla"]))


@capability("wrong host name is refused")
def _():
    return refused(rootlet.HostnameError, connect, "modern", host="other.example.org")


@capability("unknown issuer is refused")
def _():
    return refused(rootlet.UnknownIssuerError, connect, "stranger")


@capability("expired certificate is refused")
def _():
    return refused(rootlet.ExpiredError, connect, "expired")


@capability("end without close_notify is reported")
def _():
    with connect("cut") as c:
        c.write(GET)
        try:
            c.read()
        except rootlet.TruncationError:
            return None
    return "accepted"


@capability('policy="webpki"')
def _():
    # The chain has no key identifiers, which the default policy does without.
    return refused(rootlet.PolicyError, connect, "modern", rootlet.Context(store=request["signed"], policy="webpki"))


@capability("pins")
def _():
    pins = ["sha256//" + "A" * 42 + end for end in ("A=", "E=")]
    return refused(rootlet.PinError, connect, "modern", trusting(pins=pins))


@capability("trust on first use")
def _():
    from rootlet import tofu

    path = request["folder"] + "/seen.der"
    context = tofu.context(path, HOST, PORT["alone"], confirm=lambda shown: True, address="127.0.0.1")
    os.remove(path)
    talk(connect("alone", context))


@capability("trace")
def _():
    events = []
    from rootlet.trace import Trace

    connect("modern", trusting(trace=Trace(3, sink=events.append))).close()
    assert "certificate" in [event["event"] for event in events]


@capability("client certificate")
def _():
    talk(connect("mutual", trusting(client_cert=request["board"])))


@capability("pre-shared key")
def _():
    connect("psk", rootlet.Context(psk=("board", unhexlify(request["key"])))).close()


def first_and_next(attempt):
    said = []
    for _ in range(2):
        try:
            attempt()
            said.append("yes")
        except rootlet.TLSError as error:
            said.append(type(error).__name__)
    return " / ".join(said)


@capability("STARTTLS, first visit / next")
def _():
    context = trusting()

    def attempt():
        sock = socket.socket()
        sock.connect(socket.getaddrinfo("127.0.0.1", PORT["modern"])[0][-1])
        talk(rootlet.upgrade(sock, HOST, context))

    return first_and_next(attempt)


@capability("DTLS with a certificate")
def _():
    from rootlet import dtls

    with dtls.connect(HOST, PORT["dtls"], trusting(), address="127.0.0.1") as c:
        c.send(b"hello\n")


@capability("DTLS with a pre-shared key")
def _():
    from rootlet import dtls

    context = rootlet.Context(psk=("board", unhexlify(request["key"])))
    with dtls.connect(HOST, PORT["dtls_psk"], context, address="127.0.0.1") as c:
        c.send(b"hello\n")


@capability("asyncio")
def _():
    async def main():
        reader, writer = await rootlet.open_connection(HOST, PORT["modern"], trusting(), address="127.0.0.1")
        writer.write(GET)
        await writer.drain()
        assert (await reader.read(-1))[-5:] == b"hello"
        writer.close()

    asyncio.run(main())


@capability("asyncio.open_connection(ssl=context), first visit / next")
def _():
    context = trusting()

    async def main():
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT["modern"], ssl=context, server_hostname=HOST)
        try:
            writer.write(GET)
            await writer.drain()
            assert (await reader.read(-1))[-5:] == b"hello"
        finally:
            writer.close()

    return first_and_next(lambda: asyncio.run(main()))


@capability("http.get")
def _():
    from rootlet import http

    url = "https://%s:%d/" % (HOST, PORT["modern"])
    with http.get(url, trusting(), address="127.0.0.1") as response:
        assert response.read() == b"hello"


@capability("http.Client, a compressed body")
def _():
    from rootlet import http

    with http.Client(trusting(), address="127.0.0.1", compressed=True) as client:
        with client.get("https://%s:%d/" % (HOST, PORT["gzip"])) as response:
            assert response.read() == b"hello" * 500


@capability("http.AsyncClient")
def _():
    from rootlet import http

    async def main():
        async with http.AsyncClient(trusting(), address="127.0.0.1") as client:
            async with await client.get("https://%s:%d/" % (HOST, PORT["modern"])) as response:
                assert await response.read() == b"hello"

    asyncio.run(main())


@capability("requests, with rootlet.compat")
def _():
    import rootlet.compat

    rootlet.compat.install(trusting())
    import requests

    # The name leads nowhere here: what counts is that the verifying client is asked.
    try:
        requests.get("https://localhost:%d/" % PORT["modern"]).close()
    except rootlet.HostnameError:
        return None
    return "accepted"


@capability("signed store")
def _():
    from rootlet.signature import verify
    from rootlet.store import TrustStore

    with open(request["publisher"], "rb") as file:
        verify(TrustStore(request["signed"]), file.read())


@capability("forged signature is refused")
def _():
    from rootlet.signature import verify
    from rootlet.store import TrustStore

    with open(request["other_publisher"], "rb") as file:
        der = file.read()
    try:
        verify(TrustStore(request["signed"]), der)
    except rootlet.SignatureError:
        return None
    return "accepted"


@capability("memory.preflight")
def _():
    from rootlet import memory

    assert memory.preflight()["spare_bytes"] > 0


print(json.dumps(found))
