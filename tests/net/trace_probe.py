# A device program: connects with a trace and reports, in JSON, the events, and how it went.
#
# Request: host, port, cafile, and optionally level, file (path of the sink; else a function gets the events), keep,
# limit_bytes, way ("connect", "wrap", "asyncio"), sink ("broken": raises), write (what is sent), times.

import asyncio
import gc
import json
import os
import socket
import sys

import rootlet
from rootlet.trace import Trace

request = json.loads(sys.argv[1] or os.getenv("REQUEST"))
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


options = {}
for name in ("level", "keep", "limit_bytes"):
    if name in request:
        options[name] = request[name]
trace = Trace(sink=request.get("file") or (None if request.get("sink") == "console" else sink), **options)
context = rootlet.Context(cafile=request["cafile"], trace=trace)
way = {"connect": connect, "wrap": wrap, "asyncio": in_asyncio}[request.get("way", "connect")]
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
