# A device program: several connections at once with asyncio, through a modem, beside a task that must not be kept
# waiting. Request: pty, host, port (of an echo server), count, size. Without TLS: this is about the modem.

import asyncio
import json
import sys
import time

from pty_uart import PtyUart
from rootlet.modem import SIM800

request = json.loads(sys.argv[1])
modem = SIM800(PtyUart(request["pty"]), apn="internet")
longest_gap_ms = 0
wrong = []


async def heartbeat():
    global longest_gap_ms
    last = time.ticks_ms()
    while True:
        await asyncio.sleep_ms(5)
        now = time.ticks_ms()
        longest_gap_ms = max(longest_gap_ms, time.ticks_diff(now, last))
        last = now


async def exchange(n):
    stream = asyncio.StreamReader(await modem.connect_async(request["host"], request["port"], 20000))
    data = bytes([65 + n]) * request["size"]
    for part in (data[:1000], data[1000:]):
        stream.write(part)
        await stream.drain()
        got = await stream.readexactly(len(part))
        if got != part:
            wrong.append(n)
    await stream.wait_closed()  # MicroPython closes here


async def give_up():
    try:
        await asyncio.wait_for(modem.connect_async(request["host"], request["deaf"], 20000), 0.3)
    except asyncio.TimeoutError:
        return True


async def main():
    beat = asyncio.create_task(heartbeat())
    await modem.up_async()
    await asyncio.gather(*[exchange(n) for n in range(request["count"])])
    cancelled = await give_up()
    await exchange(0)
    # Closing goes on in the background.
    for _ in range(200):
        modem.pump()
        await asyncio.sleep_ms(5)
    beat.cancel()
    print(
        json.dumps(
            {"wrong": wrong, "longest_gap_ms": longest_gap_ms, "cancelled": cancelled, "left": len(modem.streams)}
        )
    )


asyncio.run(main())
