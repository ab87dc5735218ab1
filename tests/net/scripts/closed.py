# A device program: calls every method of a connection that was closed, and says what each raised.
#
# Request, in JSON in the environment: host, port, cafile, way ("blocking", "asyncio", "dtls", "dtls in asyncio"),
# ended (True: the server had ended the stream before), failed (True: a failure had closed it).

import asyncio
import json
import os

import rootlet


def outcome(call):
    try:
        return repr(call())
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)


async def awaited(call):
    try:
        return repr(await call)
    except Exception as error:
        return "%s: %s" % (type(error).__name__, error)


request = json.loads(os.getenv("REQUEST"))
context = rootlet.Context(cafile=request["cafile"])
where = request["host"], request["port"], context
buffer = bytearray(8)
result = {}


def settings(c):
    return {
        "setblocking": lambda: c.setblocking(False),
        "settimeout": lambda: c.settimeout(1),
        "settimeout(None)": lambda: c.settimeout(None),
        "set_deadline": lambda: c.set_deadline(100),
        "set_deadline(None)": lambda: c.set_deadline(None),
    }


def blocking():
    c = rootlet.connect(*where, address="127.0.0.1")
    if request.get("ended") or request.get("failed"):
        c.write(b"GET / HTTP/1.0\r\n\r\n")
        result["before"] = outcome(c.read)
    if not request.get("failed"):
        c.close()
    calls = {
        "read": c.read,
        "read(0)": lambda: c.read(0),
        "readinto": lambda: c.readinto(buffer),
        "readline": c.readline,
        "write": lambda: c.write(b"x"),
        "cipher": c.cipher,
    }
    calls.update(settings(c))
    for name, call in calls.items():
        result[name] = outcome(call)
    c.close()
    result["ioctl"] = c.ioctl(3, 1)


async def in_asyncio():
    _, c = await rootlet.open_connection(*where, address="127.0.0.1")
    c.close()
    for name, call in (
        ("read", c.read()),
        ("readinto", c.readinto(buffer)),
        ("readline", c.readline()),
        ("readexactly", c.readexactly(3)),
    ):
        result[name] = await awaited(call)
    result["write"] = outcome(lambda: c.write(b"x"))
    result["cipher"] = outcome(c.cipher)
    _, c = await rootlet.open_connection(*where, address="127.0.0.1")
    c._unsent = b"left over"  # as when the network took no more
    c.close()
    result["drain"] = await awaited(asyncio.wait_for(c.drain(), 2))
    await c.wait_closed()
    c.close()


def datagrams():
    from rootlet import dtls

    c = dtls.connect(*where, address="127.0.0.1")
    c.close()
    for name, call in (("send", lambda: c.send(b"x")), ("recv", lambda: c.recv(timeout_ms=10)), ("cipher", c.cipher)):
        result[name] = outcome(call)
    c.close()


async def datagrams_in_asyncio():
    from rootlet import dtls

    c = await dtls.connect_async(*where, address="127.0.0.1")
    await c.send(b"x")
    c.close()
    result["send"] = await awaited(c.send(b"x"))
    result["recv"] = await awaited(c.recv(timeout_ms=10))
    result["cipher"] = outcome(c.cipher)
    c.close()


way = request["way"]
if way == "blocking":
    blocking()
elif way == "asyncio":
    asyncio.run(in_asyncio())
elif way == "dtls":
    datagrams()
else:
    asyncio.run(datagrams_in_asyncio())
print(json.dumps(result))
