# A device program: AsyncClients in several tasks, and requests that are cancelled.
#
# Request, in the environment: url, cafile. The site answers /silent never, /drip byte by byte, anything else with its path.

import asyncio
import gc
import json
import os

import rootlet
from rootlet.http import AsyncClient

request = json.loads(os.getenv("REQUEST"))
url = request["url"]
context = rootlet.Context(cafile=request["cafile"])
report = {"cancelled": 0, "texts": []}


def files():
    gc.collect()
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def read_all(client, path):
    async with await client.get(url + path) as response:
        return str(await response.read(), "utf-8")


async def cancelled_after(ms, path, connect_anew):
    async with AsyncClient(context, address="127.0.0.1") as client:
        if not connect_anew:
            await read_all(client, "/first")
        try:
            await asyncio.wait_for_ms(read_all(client, path), ms)
        except asyncio.TimeoutError:
            report["cancelled"] += 1
        # The client still works.
        report["texts"].append(await read_all(client, "/after"))


async def worker(name, beats):
    async with AsyncClient(context, address="127.0.0.1") as client:
        for i in range(5):
            text = await read_all(client, "/%s-%d" % (name, i))
            report["texts"].append(text)


async def main():
    await read_all_once()
    before = files()
    for path in ("/silent", "/drip"):
        for connect_anew in (True, False):
            await cancelled_after(300, path, connect_anew)
    await cancelled_after(1, "/handshake", True)
    report["left"] = files() - before
    report["texts"].clear()
    await asyncio.gather(*(worker("abcd"[i], None) for i in range(4)))
    report["left_by_workers"] = files() - before


async def read_all_once():
    async with AsyncClient(context, address="127.0.0.1") as client:
        await read_all(client, "/warm-up")


asyncio.run(main())
print(json.dumps(report))
