# A device program: reads a stream to its end in one way, and then once more.
#
# Request: host, port, cafile, way ("read", "read 3", "readinto", "readline", each also with "asyncio " before it,
# "asyncio readexactly"). Answer: what came, kind of the exception or null, again (what a further read returned, or the
# kind), ms of everything after the handshake, again_ms.

import asyncio
import json
import sys
import time

import rootlet

request = json.loads(sys.argv[1])
way = request["way"]
context = rootlet.Context(cafile=request["cafile"])
result = {"came": "", "kind": None, "again": None}
name, _, size = way.replace("asyncio ", "").partition(" ")
arguments = (int(size),) if size else ()


def blocking():
    with rootlet.connect(request["host"], request["port"], context=context, address="127.0.0.1") as c:
        c.write(b"go")
        buffer = bytearray(4)

        def once():
            if name == "readinto":
                return bytes(buffer[: c.readinto(buffer)])
            return getattr(c, name)(*arguments)

        began = time.ticks_ms()
        try:
            while True:
                data = once()
                result["came"] += str(data, "ascii")
                if not data or way == "read":
                    break
        except rootlet.TLSError as error:
            result["kind"] = type(error).__name__
        result["ms"] = time.ticks_diff(time.ticks_ms(), began)
        began = time.ticks_ms()
        try:
            result["again"] = str(once(), "ascii")
        except rootlet.TLSError as error:
            result["again"] = type(error).__name__
        result["again_ms"] = time.ticks_diff(time.ticks_ms(), began)


async def in_asyncio():
    reader, writer = await rootlet.open_connection(
        request["host"], request["port"], context=context, address="127.0.0.1"
    )
    async with reader:
        writer.write(b"go")
        await writer.drain()
        buffer = bytearray(4)

        async def once():
            if name == "readinto":
                return bytes(buffer[: await reader.readinto(buffer)])
            if name == "readexactly":
                return await reader.readexactly(100)
            return await getattr(reader, name)(*(arguments or ((-1,) if name == "read" else ())))

        began = time.ticks_ms()
        try:
            while True:
                data = await once()
                result["came"] += str(data, "ascii")
                if not data or name == "read" and not size:
                    break
        except (rootlet.TLSError, EOFError) as error:
            result["kind"] = type(error).__name__
        result["ms"] = time.ticks_diff(time.ticks_ms(), began)
        began = time.ticks_ms()
        try:
            result["again"] = str(await asyncio.wait_for_ms(once(), 2000), "ascii")
        except (rootlet.TLSError, EOFError) as error:
            result["again"] = type(error).__name__
        result["again_ms"] = time.ticks_diff(time.ticks_ms(), began)


if way[:8] == "asyncio ":
    asyncio.run(in_asyncio())
else:
    blocking()
print(json.dumps(result))
