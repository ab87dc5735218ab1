# A device program: connects with a trace and reports, in JSON, the events, and how it went.
#
# Request: host, port, cafile, and optionally level, file (path of the sink; else a function gets the events), keep,
# limit_bytes, way ("connect", "wrap", "asyncio", "dtls"), sink ("broken": raises), write (what is sent), times, psk
# (identity and hexadecimal key), client (paths of certificate and key).

import asyncio
import gc
import json
import os
import socket
import sys
from binascii import unhexlify

import rootlet
from rootlet.trace import Trace

request = json.loads((sys.argv[1] if len(sys.argv) > 1 else "") or os.getenv("REQUEST"))
events = []


def sink(event):
    if request.get("sink") == "broken":
        raise OSError(28)
    events.append(event)


def talk(connection):
    connection.write(request.get("write", "GET / HTTP/1.0\r\n\r\n").encode())
    return str(connection.read(), "utf-8")


def connect(context):
    with rootlet.connect(request["host"], request["port"], context=context, address="127.0.0.1") as c:
        return talk(c)


def wrap(context):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", request["port"])[0][-1])
    with context.wrap_socket(sock, server_hostname=request["host"]) as c:
        return talk(c)


def in_asyncio(context):
    async def run():
        reader, writer = await rootlet.open_connection(
            request["host"], request["port"], context=context, address="127.0.0.1"
        )
        async with reader:
            writer.write(request.get("write", "GET / HTTP/1.0\r\n\r\n").encode())
            await writer.drain()
            return str(await reader.read(), "utf-8")

    return asyncio.run(run())


def over_datagrams(context):
    from rootlet import dtls

    with dtls.connect(request["host"], request["port"], context, address="127.0.0.1", timeout_ms=8000) as c:
        c.send(request.get("write", "hello").encode())


options = {}
for name in ("level", "keep", "limit_bytes"):
    if name in request:
        options[name] = request[name]
trace = Trace(sink=request.get("file") or (None if request.get("sink") == "console" else sink), **options)
if "psk" in request:
    context = rootlet.Context(psk=(request["psk"][0], unhexlify(request["psk"][1])), trace=trace)
else:
    client = request.get("client", (None, None))
    context = rootlet.Context(cafile=request["cafile"], client_cert=client[0], client_key=client[1], trace=trace)
way = {"connect": connect, "wrap": wrap, "asyncio": in_asyncio, "dtls": over_datagrams}[request.get("way", "connect")]
result = {}
heap = []
for i in range(request.get("times", 1)):
    try:
        result["body"] = way(context)
    except rootlet.TLSError as error:
        result["kind"] = type(error).__name__
        result["trace"] = error.trace
        error = None
    events = events[-50:]
    gc.collect()
    heap.append(gc.mem_alloc())
result["events"] = events
result["lost"] = trace.lost
result["heap"] = heap
result["files"] = len(os.listdir("/proc/self/fd"))
print(json.dumps(result))
