# A device program: asks for a new store and says in JSON how it went.
#
# Request: store (path on the board), urls; optionally context (settings of a Context for https), updater (settings of the
# Updater), runs (how often, default 1), flip (between the runs: [offset in the free slot, bit mask]), connect ([host, port]
# to connect to afterwards, with the store).

import gc
import json
import os
import sys
import time

from rootlet.slots import Slots
from rootlet.updater import Updater

with open(sys.argv[1]) as file:
    request = json.load(file)


def connect(host, port):
    import rootlet

    try:
        context = rootlet.Context(store=request["store"])
        with rootlet.connect(host, port, context=context) as connection:
            connection.write(b"GET / HTTP/1.0\r\n\r\n")
            return {"kind": None, "body": str(connection.read(), "utf-8")}
    except rootlet.TLSError as error:
        return {"kind": type(error).__name__, "message": error.message, "remedy": error.remedy}


files = len(os.listdir("/proc/self/fd"))
slots = Slots(request["store"])
options = request.get("updater", {})
if "context" in request:
    import rootlet

    options["context"] = rootlet.Context(**request["context"])
steps = 0


def progress():
    global steps
    steps += 1


runs = []
for number in range(request.get("runs", 1)):
    if number and "flip" in request:
        offset, mask = request["flip"]
        with open(slots.free_path(), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0] ^ mask
            file.seek(offset)
            file.write(bytes((byte,)))
    # Anew for each run, as after a restart.
    updater = Updater(slots, request["urls"], progress=progress, **options)
    started = time.ticks_ms()
    updated = updater.run()
    store = slots.current()
    runs.append(
        {
            "updated": updated,
            "outcome": updater.outcome,
            "error": updater.error,
            "elapsed_ms": time.ticks_diff(time.ticks_ms(), started),
            "sequence": store.sequence if store else None,
            "left_s": updater.pace.left_s(),
        }
    )
    updater = None
gc.collect()
result = {
    "runs": runs,
    "left_open": len(os.listdir("/proc/self/fd")) - files,
    "heap_bytes": gc.mem_alloc(),
    "steps": steps,
}
if "connect" in request:
    result["connection"] = connect(*request["connect"])
print(json.dumps(result))
