# A device program whose private key lies elsewhere: a service on this machine signs, as a secure element would.
#
# Request, in JSON in the environment: host, port, cafile, certificate and key (hexadecimal), element (the service's port),
# way ("blocking", "asyncio"), trouble (None, "raises", "nonsense", "declines", "interrupt"), times.

import asyncio
import gc
import json
import os
import socket
from binascii import hexlify, unhexlify

import rootlet

request = json.loads(os.getenv("REQUEST"))
asked = []


def sign(number, digest):
    if len(asked) < 3:
        asked.append([str(hexlify(number), "ascii"), len(digest)])
    trouble = request.get("trouble")
    if trouble == "raises":
        raise OSError(5, "no answer on the bus")
    if trouble == "interrupt":
        raise KeyboardInterrupt
    if trouble == "nonsense":
        return {"signature": 1}
    if trouble == "declines":
        return None
    element = socket.socket()
    element.connect(socket.getaddrinfo("127.0.0.1", request["element"])[0][-1])
    element.write(bytes(digest))
    signature = element.read()
    element.close()
    return signature


def files():
    return len(os.listdir("/proc/self/fd"))


async def in_asyncio(context):
    reader, writer = await rootlet.open_connection(request["host"], request["port"], context, address="127.0.0.1")
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    await writer.drain()
    answer = await reader.read(-1)
    writer.close()
    return answer


def blocking(context):
    with rootlet.connect(request["host"], request["port"], context, address="127.0.0.1", timeout_ms=5000) as c:
        c.write(b"GET / HTTP/1.0\r\n\r\n")
        return c.read()


def once(context, result):
    try:
        if request.get("way") == "asyncio":
            answer = asyncio.run(in_asyncio(context))
        else:
            answer = blocking(context)
        result["answer"] = str(answer, "ascii")
    except (rootlet.TLSError, KeyboardInterrupt) as error:
        result["kind"] = type(error).__name__
        result["message"] = getattr(error, "message", "")
        result["cause"] = repr(getattr(error, "cause", None))


context = rootlet.Context(
    cafile=request["cafile"],
    client_cert=unhexlify(request["certificate"]),
    client_key=unhexlify(request["key"]),
    ecdsa_sign=sign,
)
before = files()
for n in range(request.get("times", 1)):
    result = {"kind": None}
    once(context, result)
    gc.collect()
    if n == 2:
        result_bytes = gc.mem_alloc()
grown = gc.mem_alloc() - result_bytes if request.get("times", 1) > 3 else 0
print(json.dumps({"asked": asked, "stayed_open": files() - before, "grown": grown} | result))
