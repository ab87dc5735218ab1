# A device program: says in JSON what preflight says, and then what becomes of connections.
#
# Arguments: what, host, port, modules for preflight, "1" for RSA, stores. What: "ask" only preflight; "go N" preflight,
# then N connections if it lets them; "pieces" preflight in a heap full of holes of 8 KB; "N" connections without it.

import gc
import json
import sys

what, host, port, modules, rsa = sys.argv[1:6]
stores = sys.argv[6:]
result = {"refused": None, "good": 0}


def get(context):
    import rootlet

    stream = rootlet.connect(host, int(port), context=context, address="127.0.0.1")
    stream.write(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    buffer = bytearray(200)
    got = stream.readinto(buffer)
    stream.close()
    return got > 0


def check():
    import rootlet
    from rootlet import memory

    try:
        result["figures"] = memory.preflight(*[m for m in modules.split(",") if m], rsa=rsa == "1")
    except (OSError, MemoryError) as error:
        result["kind"] = type(error).__name__
        result["refused"] = getattr(error, "message", None) or str(error)
        result["remedy"] = getattr(error, "remedy", None)
    del memory, rootlet.memory, sys.modules["rootlet.memory"]
    gc.collect()


def go(times):
    import rootlet

    context = rootlet.Context(stores=stores)
    for _ in range(times):
        result["good"] += get(context)


if what == "pieces":
    import rootlet

    held = []
    try:
        while True:
            held.append((bytearray(8000), bytearray(200)))
    except MemoryError:
        pass
    held = [pair[1] for pair in held]
    gc.collect()
    check()
elif what == "ask":
    check()
elif what[:3] == "go ":
    check()
    if not result["refused"]:
        go(int(what[3:]))
else:
    go(int(what))
if what == "ask":
    result["modules"] = [name for name in sys.modules if name[:8] == "rootlet."]
print(json.dumps(result))
