# A device program: begins in plain text and goes on with TLS.
#
# Request, in JSON in the environment: protocol ("smtp", "imap", "postgresql"), way ("blocking" or "asyncio"), host, port,
# cafile, and again (True: a second time with the same Context if the first fails).

import asyncio
import gc
import json
import os
import socket

import rootlet
import rootlet.aio


def files():
    return len(os.listdir("/proc/self/fd"))


async def plain(sock_or_stream, protocol):
    """Brings the dialogue to the server's agreement. `readline`, `read` and `write` are awaited where they must be."""

    async def wait_for(result):
        return await result if hasattr(result, "send") or hasattr(result, "__next__") else result

    async def line():
        return await wait_for(sock_or_stream.readline())

    async def say(data):
        await wait_for(sock_or_stream.write(data))
        if hasattr(sock_or_stream, "drain"):
            await sock_or_stream.drain()

    if protocol == "smtp":
        assert (await line())[:4] == b"220 "
        await say(b"EHLO board\r\n")
        while (await line())[3:4] == b"-":
            pass
        await say(b"STARTTLS\r\n")
        assert (await line())[:4] == b"220 "
    elif protocol == "imap":
        assert (await line())[:4] == b"* OK"
        await say(b"a STARTTLS\r\n")
        assert (await line())[:4] == b"a OK"
    else:  # https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
        await say(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
        assert await wait_for(sock_or_stream.read(1)) == b"S"


def run_now(coroutine):
    """The result of a coroutine that never waits."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as done:
        return done.value


def blocking(request, context):
    sock = socket.socket()
    sock.settimeout(5)
    sock.connect(socket.getaddrinfo("127.0.0.1", request["port"])[0][-1])
    run_now(plain(sock, request["protocol"]))
    with rootlet.upgrade(sock, request["host"], context, timeout_ms=3000) as secure:
        secure.write(request["then"].encode())
        answer = secure.readline()
    # The connection owned the socket and closed it.
    try:
        sock.write(b"x")
        raise AssertionError("the socket is still open")
    except OSError:
        pass
    return answer


async def by_asyncio(request, context):
    reader, writer = await asyncio.open_connection("127.0.0.1", request["port"])
    await plain(reader, request["protocol"])
    reader, writer = await rootlet.aio.upgrade(writer, request["host"], context, timeout_ms=3000)
    writer.write(request["then"].encode())
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


async def idle():
    await asyncio.sleep_ms(0)


def attempt(request, context):
    try:
        if request["way"] == "asyncio":
            answer = asyncio.run(by_asyncio(request, context))
        else:
            answer = blocking(request, context)
        return {"kind": None, "answer": str(answer, "utf-8")}
    except rootlet.TLSError as error:
        return {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy}


request = json.loads(os.getenv("REQUEST"))
context = rootlet.Context(cafile=request["cafile"])
asyncio.run(idle())  # asyncio keeps a poll object
before = files()
result = attempt(request, context)
if result["kind"] and request.get("again"):
    result = attempt(request, context)
gc.collect()
result["stayed_open"] = files() - before
print(json.dumps(result))
