# A device program: exchanges datagrams with a server and reports how it went.
#
# Request, in JSON in the environment: host, port, context (arguments of Context; values of {"hex": …} are bytes), say (a
# list of hexadecimal datagrams), timeout_ms, mtu, expect (False: nobody answers), wait_ms (for an answer),
# asynchronous (with asyncio, beside a task that counts its turns).

import asyncio
import gc
import json
import os
import time
from binascii import hexlify, unhexlify

import rootlet
from rootlet import dtls


def decoded(value):
    if isinstance(value, dict):
        return unhexlify(value["hex"])
    if isinstance(value, list):
        return [decoded(part) for part in value]
    return value


def files():
    return len(os.listdir("/proc/self/fd"))


async def finished(value):
    return value


class Blocking:
    """dtls.connect as if it were asynchronous."""

    async def connect(self, *arguments, **options):
        self.connection = dtls.connect(*arguments, **options)
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.connection.close()

    def __getattr__(self, name):
        method = getattr(self.connection, name)
        if name not in ("send", "recv"):
            return method
        return lambda *arguments, **options: finished(method(*arguments, **options))


async def talk(request, result):
    context = rootlet.Context(**{name: decoded(value) for name, value in request["context"].items()})
    options = {name: request[name] for name in ("timeout_ms", "mtu") if name in request}
    connect = dtls.connect_async if request.get("asynchronous") else Blocking().connect
    async with await connect(request["host"], request["port"], context, address="127.0.0.1", **options) as c:
        for datagram in request["say"]:
            # Datagrams may get lost: said again until there is an answer.
            for _ in range(request.get("tries", 1)):
                await c.send(unhexlify(datagram))
                heard = await c.recv(timeout_ms=request.get("wait_ms", 1000))
                if heard is not None:
                    break
            result["heard"].append(heard is not None and str(hexlify(heard), "ascii"))
        result["cipher"] = c.cipher()
        result["anchors"] = len(c.anchor_names())
        certificate = c.peer_certificate()
        result["certificate"] = certificate is not None and str(hexlify(certificate), "ascii")


async def main(request, result):
    async def beat():
        while True:
            await asyncio.sleep_ms(1)
            result["beats"] += 1

    beating = asyncio.create_task(beat())
    started = time.ticks_ms()
    try:
        await talk(request, result)
    except rootlet.TLSError as error:
        result["kind"] = type(error).__name__
        result["message"] = error.message
        result["remedy"] = error.remedy
    result["elapsed_ms"] = time.ticks_diff(time.ticks_ms(), started)
    beating.cancel()
    await asyncio.sleep_ms(0)


async def cancelled(request, result):
    """Cancels the connecting after each of many turns of the loop."""
    context = rootlet.Context(**{name: decoded(value) for name, value in request["context"].items()})

    async def one(turns):
        opening = dtls.connect_async(request["host"], request["port"], context, address="127.0.0.1", timeout_ms=2000)
        task = asyncio.create_task(opening)
        for _ in range(turns):
            await asyncio.sleep_ms(turns & 3)
        task.cancel()
        try:
            (await task).close()
            result["finished"] += 1
        except (asyncio.CancelledError, rootlet.TLSError):
            pass  # the server may still be busy with one that was cancelled

    # How far a handshake gets is chance, and what it loads on the way is no leak.
    for name in ("anchor", "judging", "policy", "diagnosis", "codes", "alerts", "refusals", "DeadlineError"):
        getattr(rootlet, name)
    for _ in range(3):
        gc.collect()
        result["before"] = gc.mem_alloc()
        for turns in range(request["steps"]):
            await one(turns)
            gc.collect()
            if not turns:
                open_files = files()  # with asyncio's own
            assert files() == open_files, "after %d turns a socket stayed open" % turns
    result["after"] = gc.mem_alloc()


request = json.loads(os.getenv("REQUEST"))
before = files()
result = {"kind": None, "heard": [], "beats": 0, "finished": 0}
asyncio.run((cancelled if "steps" in request else main)(request, result))
gc.collect()
result["stayed_open"] = files() - before
print(json.dumps(result))
