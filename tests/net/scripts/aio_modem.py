# A device program: several verified GETs at once with asyncio, through a modem. Request: pty, host, port, cafile, count.

import asyncio
import json
import os
import sys

import rootlet

request = json.loads(os.getenv("REQUEST"))
sys.path.append(request["modules"])

from pty_uart import PtyUart  # noqa: E402
from rootlet.modem import SIM800  # noqa: E402

modem = SIM800(PtyUart(request["pty"]), apn="internet")
context = rootlet.Context(cafile=request["cafile"])


async def get(host):
    try:
        reader, writer = await rootlet.open_connection(
            host, request["port"], context, timeout_ms=20000, transport=modem, server_hostname=request["host"]
        )
        writer.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        await writer.drain()
        while await reader.readline() != b"\r\n":
            pass
        body = await reader.read(-1)
        writer.close()
        return str(body, "utf-8")
    except rootlet.TLSError as error:
        return type(error).__name__


async def main():
    bodies = await asyncio.gather(*[get(request["host"]) for _ in range(request["count"])])
    bodies.append(await get("nowhere.example.org"))
    for _ in range(100):  # closing goes on in the background
        modem.pump()
        await asyncio.sleep_ms(5)
    print(json.dumps({"bodies": bodies, "left": len(modem.streams)}))


asyncio.run(main())
