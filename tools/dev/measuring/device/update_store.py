# What a signature check and a whole update cost. Arguments: path of the store, URL of the next one; "heap" to measure
# heap instead of time, "once" to make the update and nothing else, "push" to put next.rtlt beside the store in force as
# a push over USB does. Prints JSON.

import gc
import json
import sys
import time

gc.collect()
start_bytes = gc.mem_alloc()

from rootlet.slots import Slots


def push(slots, source):
    from rootlet.slots import SlotFile

    path = slots.free_path()
    slot = SlotFile(path)
    with open(source, "rb") as file:
        while True:
            piece = file.read(1024)
            if not piece:
                break
            slot.write(piece)
    slot.close()
    slots.commit(path, usb=True)


if sys.argv[3:] == ["push"]:
    push(Slots(sys.argv[1]), sys.argv[1].rpartition("/")[0] + "/next.rtlt")
    print("{}")
    sys.exit()

from rootlet.updater import Updater

try:
    if sys.argv[3:] != ["heap"]:
        raise ImportError  # it collects all the time: not when time is measured
    import heap_peak
except ImportError:
    heap_peak = None


def measure(job):
    gc.collect()
    gc.collect()
    result = {}
    before = gc.mem_alloc()
    if heap_peak:
        heap_peak.start()
    began = time.ticks_us()
    job()
    result["ms"] = time.ticks_diff(time.ticks_us(), began) / 1000
    if heap_peak:
        heap_peak.stop()
        result["peak_bytes"] = heap_peak.peak() - before
        result["tls_peak_bytes"] = heap_peak.tls_peak()
    return result


slots = Slots(sys.argv[1])
updater = Updater(slots, sys.argv[2])
gc.collect()
gc.collect()
result = {"code_bytes": gc.mem_alloc() - start_bytes}


def update():
    if not updater.run():
        raise RuntimeError(updater.error)


if sys.argv[3:] == ["once"]:
    update()
    print("{}")
    sys.exit()

result["update"] = measure(update)
store = slots.current()
publisher = slots.publishers()[0]
gc.collect()
gc.collect()
result["resident_bytes"] = gc.mem_alloc() - start_bytes

from rootlet.signature import verify

verify(store, publisher)
result["signature"] = measure(lambda: verify(store, publisher))
times = []
for _ in range(20):
    began = time.ticks_us()
    verify(store, publisher)
    times.append(time.ticks_diff(time.ticks_us(), began) / 1000)
    gc.collect()
result["signature"]["ms"] = sorted(times)[10]
print(json.dumps(result))
