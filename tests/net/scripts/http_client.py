# A device program: makes requests with rootlet.http.Client or AsyncClient, and reports how each of them went.
#
# Request, in the environment: cafile, client (options of the client), asynchronous, steps. A step: method, url and options of the request, and
#   send    {"text": …}, {"bytes": n}, {"file": path}, {"chunks": [sizes]}, {"list": [sizes]}, {"stream": n}: the body
#   take    "read" (default), an int (bytes to read), "json", "nothing", "some" (one readinto), "abandon", "into" (by readinto), or {"save": path}
#   download  path: Client.download instead; pause_ms: before the step
# Reports for each step: kind, message and remedy of an error, or status, reason, headers, url, bytes, sum, text; and for all:
# files (open at the end), left_idle.

import asyncio
import gc
import io
import json
import os
import time

import rootlet
from rootlet import http


class Unseekable(io.IOBase):
    def __init__(self, n):
        self.n = n

    def readinto(self, buffer):
        n = min(self.n, len(buffer))
        for i in range(n):
            buffer[i] = 97
        self.n -= n
        return n


class Counter:
    def __init__(self):
        self.bytes = self.sum = 0

    def write(self, data):
        self.bytes += len(data)
        self.sum += sum(data)


def body(spec):
    if spec is None:
        return None
    if "text" in spec:
        return spec["text"]
    if "bytes" in spec:
        return bytes(i % 251 for i in range(spec["bytes"]))
    if "file" in spec:
        return open(spec["file"], "rb")
    if "list" in spec:
        return [b"b" * n for n in spec["list"]]
    if "stream" in spec:
        return Unseekable(spec["stream"])
    return (b"c" * n for n in spec["chunks"])


async def awaited(value):
    return await value


async def plain(value):
    return value


async def play(client, step, wait):
    report = {"kind": None}
    step = dict(step)
    take = step.pop("take", "read")
    if "pause_ms" in step:
        time.sleep_ms(step.pop("pause_ms"))
    sent = body(step.pop("send", None))
    if sent is not None:
        step["body"] = sent
    started = time.ticks_ms()
    response = None
    try:
        if "download" in step:
            report["bytes"] = await wait(client.download(step.pop("url"), step.pop("download"), **step))
            return report
        method = step.pop("method", "GET")
        shortcut = getattr(client, method.lower(), None)
        url = step.pop("url")
        response = await wait(shortcut(url, **step) if shortcut else client.request(method, url, **step))
        report["status"] = response.status
        report["reason"] = response.reason
        report["headers"] = response.headers
        report["url"] = response.url
        counter = Counter()
        if take == "json":
            report["json"] = await wait(response.json())
        elif take == "into":
            buffer = bytearray(700)
            gc.collect()
            before = gc.mem_alloc()
            while True:
                n = await wait(response.readinto(buffer))
                if not n:
                    break
                counter.write(memoryview(buffer)[:n])
            gc.collect()
            report["grown_bytes"] = gc.mem_alloc() - before
        elif take == "nothing":
            pass
        elif take == "some":
            buffer = bytearray(1000)
            report["text"] = str(buffer[: await wait(response.readinto(buffer))], "utf-8")
        elif take == "abandon":
            response.close()
        elif take == "counter":
            await wait(response.save(counter))
        elif isinstance(take, dict):
            report["saved"] = await wait(response.save(take["save"]))
        else:
            data = await wait(response.read() if take == "read" else response.read(take))
            counter.write(data)
            if len(data) < 5000:
                report["text"] = str(data, "utf-8") if max(data or b"a") < 128 else ""
        report["bytes"] = counter.bytes
        report["sum"] = counter.sum
    except rootlet.TLSError as error:
        report["kind"] = type(error).__name__
        report["message"] = error.message
        report["remedy"] = error.remedy
    except MemoryError:
        report["kind"] = "MemoryError"
    finally:
        if response:
            response.close()
        if hasattr(sent, "close"):
            sent.close()
        report["elapsed_ms"] = time.ticks_diff(time.ticks_ms(), started)
    return report


async def main(request):
    context = rootlet.Context(cafile=request["cafile"])
    kind = http.AsyncClient if request["asynchronous"] else http.Client
    wait = awaited if request["asynchronous"] else plain
    options = {"address": "127.0.0.1", "timeout_ms": 10_000}
    options.update(request.get("client", {}))
    reports = []
    with kind(context, **options) as client:
        for step in request["steps"]:
            reports.append(await play(client, step, wait))
        idle = len(client._idle)
    gc.collect()
    gc.collect()
    return {"steps": reports, "left_idle": idle, "files": len(os.listdir("/proc/self/fd"))}


print(json.dumps(asyncio.run(main(json.loads(os.getenv("REQUEST"))))))
