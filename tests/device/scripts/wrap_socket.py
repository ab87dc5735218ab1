# A device program: makes connections as other libraries do, through Context.wrap_socket, and reports how each went.
#
# Request, in the environment because MicroPython takes no long arguments: style ("asyncio", "umqtt" or "select"),
# ports, host, cafile, again (True: all attempts twice with the same Context).

import asyncio
import gc
import json
import os
import select
import socket
import time

import rootlet


def report(error):
    assert isinstance(error, rootlet.TLSError), repr(error)
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
        "reasons": list(getattr(error, "reasons", ())),
    }


async def asyncio_attempt(context, port, host):
    """What any asyncio client does with ssl=context."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
        writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        await writer.drain()
        lines = []
        while True:
            line = await reader.readline()
            if line == b"\r\n":
                break
            lines.append(line)
        body = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        return {"kind": None, "status": str(lines[0], "utf-8").strip(), "body": str(body, "utf-8")}
    except rootlet.TLSError as error:
        return report(error)


async def asyncio_attempts(context, ports, host, longest):
    ticking = True

    async def tick():
        last = time.ticks_ms()
        while ticking:
            await asyncio.sleep_ms(1)
            longest[0] = max(longest[0], time.ticks_diff(time.ticks_ms(), last))
            last = time.ticks_ms()

    ticker = asyncio.create_task(tick())
    results = await asyncio.gather(*[asyncio_attempt(context, port, host) for port in ports])
    ticking = False
    await ticker
    return results


def umqtt_attempt(context, port, host):
    """The calls of umqtt.simple: connect, write, read, then check_msg without and wait_msg with waiting."""
    sock = socket.socket()
    sock.settimeout(5)
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    try:
        sock = context.wrap_socket(sock, server_hostname=host)
        sock.write(bytearray(b"GET / HTTP/1.0\r\n--"), 16)
        sock.write(b"Host: x\r\n\r\n")
        first = sock.read(4)
        sock.setblocking(False)
        then = sock.read(1)
        while then is None:
            then = sock.read(1)
        sock.setblocking(True)
        rest = sock.read(8)
        end = sock.read()
        sock.close()
        return {"kind": None, "status": str(first + then + rest, "utf-8"), "body": str(end, "utf-8")[-5:]}
    except rootlet.TLSError as error:
        return report(error)


def select_attempt(context, port, host):
    """Without waiting anywhere but in poll, as an event loop of one's own does."""
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    sock.setblocking(False)
    waits = 0
    try:
        stream = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        assert stream.peer_certificate() is None
        stream.setblocking(False)
        poller = select.poll()
        poller.register(stream, select.POLLOUT)
        request = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
        while request:
            poller.poll(1000)
            n = stream.write(request)
            waits += n is None
            request = request[n or 0 :]
        poller.modify(stream, select.POLLIN)
        answer = b""
        buffer = bytearray(20)
        while True:
            poller.poll(1000)
            n = stream.readinto(buffer)
            if n == 0:
                break
            answer += buffer[: n or 0]
        assert stream.peer_certificate()
        assert stream.readinto(buffer) == 0
        poller.unregister(stream)
        stream.close()
        lines = str(answer, "utf-8").split("\r\n")
        return {"kind": None, "status": lines[0], "body": lines[-1], "waits": waits}
    except rootlet.TLSError as error:
        return report(error)


request = json.loads(os.getenv("REQUEST"))
host = request["host"]
context = rootlet.Context(timeout_ms=5000, cafile=request["cafile"])
longest = [0]
results = []
for _ in range(2 if request.get("again") else 1):
    if request["style"] == "asyncio":
        results += asyncio.run(asyncio_attempts(context, request["ports"], host, longest))
    else:
        attempt = {"umqtt": umqtt_attempt, "select": select_attempt}[request["style"]]
        results += [attempt(context, port, host) for port in request["ports"]]
gc.collect()
files = len(os.listdir("/proc/self/fd"))
print(json.dumps({"results": results, "longest_ms": longest[0], "files": files}))
