# A device program: makes a Context of the store in force, lets something else be written into its slot, and connects.
#
# Request, in JSON in the environment: host, port, store (path); next (a file: put in force in the other slot first, if
# given), written (a file: what a download then leaves in the slot of the Context's store), accepted (whether it is put
# in force, too), opened (the Context gets a TrustStore instead of the path), damage (the store in force, afterwards).

import json
import os

import rootlet
from rootlet import TrustStore
from rootlet.slots import SlotFile, Slots


def write(slots, source, accepted):
    path = slots.free_path()
    with open(source, "rb") as file:
        data = file.read()
    target = SlotFile(path)
    target.write(data)
    target.close()
    if accepted:
        with open(path, "r+b") as file:
            file.write(TrustStore.MAGIC)
    return path


request = json.loads(os.getenv("REQUEST"))
slots = Slots(request["store"])
write(slots, request["first"], True)
context = rootlet.Context(store=slots.current() if request.get("opened") else request["store"])
used = context.stores[0].path
write(slots, request["next"], True)
assert write(slots, request["written"], request["accepted"]) == used
if request.get("damage"):  # one bit of the store in force
    with open(slots.current().path, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes((last ^ 1,)))
result = {"kind": None}
try:
    with rootlet.connect(request["host"], request["port"], context, address="127.0.0.1", timeout_ms=5000) as c:
        c.write(b"GET / HTTP/1.0\r\n\r\n")
        result["body"] = str(c.read(), "utf-8")
except rootlet.TLSError as error:
    result["kind"] = type(error).__name__
    result["message"] = error.message
    result["remedy"] = error.remedy
result["sequence"] = context.stores[0].sequence
print(json.dumps(result))
