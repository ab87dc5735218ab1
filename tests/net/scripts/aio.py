# A device program: what applications do with rootlet.open_connection and asyncio.open_connection(ssl=context).
#
# Request, in JSON, in the environment because MicroPython takes no long arguments: job (name of a function below), cafile, host, and what the job wants. Reports in JSON.

import asyncio
import gc
import hashlib
import json
import os
import time
from binascii import hexlify, unhexlify

import rootlet


def files():
    return len(os.listdir("/proc/self/fd"))


def resident_kb():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])


def described(error):
    result = {"kind": type(error).__name__}
    if isinstance(error, rootlet.TLSError):
        result["message"] = error.message
        result["remedy"] = error.remedy
    return result


async def opened(context, request, port):
    """(reader, writer) in the way that the request asks for."""
    if request.get("standard"):
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=request["host"])
    options = {"timeout_ms": request["timeout_ms"]} if "timeout_ms" in request else {}
    return await rootlet.open_connection(
        request["host"], port, context, address=request.get("address", "127.0.0.1"), **options
    )


async def closed(writer):
    writer.close()
    await writer.wait_closed()


async def get(context, request, port):
    started = time.ticks_ms()
    try:
        reader, writer = await opened(context, request, port)
    except Exception as error:
        return described(error) | {"elapsed_ms": time.ticks_diff(time.ticks_ms(), started)}
    try:
        writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        await writer.drain()
        while await reader.readline() != b"\r\n":
            pass
        body = await reader.read(-1)
        return {"kind": None, "body_sha256": str(hexlify(hashlib.sha256(body).digest()), "ascii"), "bytes": len(body)}
    except Exception as error:
        return described(error)
    finally:
        await closed(writer)


async def gets(context, request):
    """One GET of each port, all at once or one by one."""
    if request.get("in_turn"):
        results = []
        for port in request["ports"]:
            results.append(await get(context, request, port))
        return results
    return await asyncio.gather(*[get(context, request, port) for port in request["ports"]])


async def listen(context, request):
    """Reads without having written."""
    reader, writer = await opened(context, request, request["ports"][0])
    try:
        said = await reader.readline()
        rest = await reader.read(100)
        return {"kind": None, "said": str(said, "ascii"), "rest": str(rest, "ascii")}
    except Exception as error:
        return described(error)
    finally:
        await closed(writer)


async def lines(context, request):
    """Reads lines, each of at most so many bytes as `limits` says (-1: any number), and what comes after them."""
    reader, writer = await opened(context, request, request["ports"][0])
    said = []
    for limit in request["limits"]:
        said.append(str(await reader.readline(limit), "ascii"))
    await closed(writer)
    return said


async def exchange(context, request):
    """Sends and receives `size` bytes at once, in pieces of unlike sizes, the writer seldom waiting for the network."""
    reader, writer = await opened(context, request, request["ports"][0])
    size = request["size"]
    # A small buffer in the network stack, as on a board (Linux: SOL_SOCKET, SO_SNDBUF).
    writer.s._observer._sock.setsockopt(1, 7, 8192)

    async def send():
        block = bytes(range(256)) * 40
        sha = hashlib.sha256()
        left = size
        step = 1
        while left:
            piece = block[: min(left, step)]
            step = (step * 7 + 13) % 9973 + 1
            sha.update(piece)
            writer.write(piece)
            left -= len(piece)
            if step % 7 == 0:
                await writer.drain()
        await writer.drain()
        return sha.digest()

    async def receive():
        sha = hashlib.sha256()
        left = size
        buffer = bytearray(3000)
        view = memoryview(buffer)
        while left:
            n = await reader.readinto(view[: min(left, len(buffer))])
            if n is None:
                continue  # asyncio's own stream, when there was nothing but a part of a record
            if not n:
                break
            sha.update(view[:n])
            left -= n
        return sha.digest(), left

    sent, (received, left) = await asyncio.gather(send(), receive())
    await closed(writer)
    return {"sent": str(hexlify(sent), "ascii"), "received": str(hexlify(received), "ascii"), "left": left}


async def cancelled(context, request):
    """Cancels the opening after each of `steps` turns of the loop."""
    port = request["ports"][0]
    finished = 0

    async def open_and_close():
        nonlocal finished
        reader, writer = await opened(context, request, port)
        finished += 1
        await closed(writer)

    async def attempt(turns):
        task = asyncio.create_task(open_and_close())
        for _ in range(turns):
            await asyncio.sleep_ms(0)
        if turns & 1:
            await asyncio.sleep_ms(turns // 4)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass

    async def all_of_them():
        for turns in range(request["steps"]):
            await attempt(turns)
            assert files() == before["files"], "after %d turns a socket stayed open" % turns

    async def usage():
        # Issuers were learned, modules loaded or let go of: wherever the last attempt came to.
        await closed((await opened(context, request, port))[1])
        # The collector takes whatever looks like an address for one: what a round left on the stack may keep an object.
        heap = []
        for _ in range(4):
            await asyncio.sleep_ms(1)
            gc.collect()
            heap.append(gc.mem_alloc())
        return {"files": files(), "heap_bytes": min(heap), "resident_kb": resident_kb()}

    # How far a handshake gets is chance, and what it loads on the way is no leak.
    for name in ("anchor", "judging", "policy", "diagnosis", "codes", "alerts", "refusals", "DeadlineError"):
        getattr(rootlet, name)
    for _ in range(3):
        before = {"files": files()}
        await all_of_them()
    before = await usage()
    await all_of_them()
    after = await usage()
    return {"before": before, "after": after, "finished": finished}


async def jitter(context, request):
    """How long the loop stood still while connections were made; and what a handshake takes on its own."""
    port = request["ports"][0]
    alone_ms = []
    for _ in range(3):
        with rootlet.connect(request["host"], port, context=context, address="127.0.0.1") as connection:
            alone_ms.append(connection.handshake_ms())
    gaps = []
    ticking = True

    async def beat():
        last = time.ticks_us()
        while ticking:
            await asyncio.sleep_ms(1)
            now = time.ticks_us()
            gaps.append(time.ticks_diff(now, last) / 1000 - 1)
            last = now

    ticker = asyncio.create_task(beat())
    await asyncio.sleep_ms(20)
    del gaps[:]

    async def open_one():
        _, writer = await opened(context, request, port)
        await closed(writer)

    for _ in range(request["rounds"]):
        await asyncio.gather(*[open_one() for _ in range(request["at_once"])])
    ticking = False
    await ticker
    gaps.sort()
    return {
        "handshake_ms": sorted(alone_ms)[1],
        "longest_ms": gaps[-1],
        "median_ms": gaps[len(gaps) // 2],
        "beats": len(gaps),
    }


async def main(request):
    if "psk" in request:
        context = rootlet.Context(psk=(request["psk"][0], unhexlify(request["psk"][1])), timeout_ms=5000)
    else:
        context = rootlet.Context(cafile=request["cafile"], timeout_ms=5000)
    results = None
    for _ in range(request.get("warm_up", 0) + 1):
        before = files()
        results = await globals()[request["job"]](context, request)
        # One turn more for whoever was just cancelled.
        await asyncio.sleep_ms(0)
    gc.collect()
    return {"results": results, "stayed_open": files() - before}


request = json.loads(os.getenv("REQUEST"))
print(json.dumps(asyncio.run(main(request))))
