# A device program: one GET.
#
# Request, in the environment: url, cafile, timeout_ms, read_all (True: read() instead of readinto). Reports kind (None when
# it went well), remedy, status, bytes and sum of the body, files (open at the end), grown_bytes (heap, while reading).

import gc
import json
import os

import rootlet
from rootlet import http

request = json.loads(os.getenv("REQUEST"))
report = {"kind": None, "bytes": 0, "sum": 0}
context = rootlet.Context(cafile=request["cafile"])
try:
    with http.get(request["url"], context, address="127.0.0.1", timeout_ms=request.get("timeout_ms", 5000)) as response:
        report["status"] = response.status
        buffer = bytearray(700)
        gc.collect()
        before = gc.mem_alloc()
        if request.get("read_all"):
            report["bytes"] = len(response.read())
        else:
            while True:
                n = response.readinto(buffer)
                if not n:
                    break
                report["bytes"] += n
                report["sum"] += sum(memoryview(buffer)[:n])
        gc.collect()
        report["grown_bytes"] = gc.mem_alloc() - before
except rootlet.TLSError as error:
    report["kind"] = type(error).__name__
    report["remedy"] = error.remedy
except MemoryError:
    report["kind"] = "MemoryError"
response = None
gc.collect()
report["files"] = len(os.listdir("/proc/self/fd"))
print(json.dumps(report))
