# Downloads a long body to a file while no more than `spare` bytes of the heap are free beside a kept connection.
# Request: size, spare. Prints the free bytes before, and whether it worked.

import gc
import json
import sys

import rootlet
from rootlet.http import Client

request = json.loads(sys.argv[1])
path = request["stores"][0] + ".download"
client = Client(rootlet.Context(stores=request["stores"]), timeout_ms=60_000, address="127.0.0.1")
url = "https://%s:%d/" % (request["host"], request["port"])
client.download(url + "5000", path)  # imports everything, and leaves a connection
gc.collect()
gc.collect()
# In one piece, and nothing besides: how broken up a heap is depends on the application.
reserve = bytearray(request["spare"])
ballast = None
size = 1 << 18
while size >= 64:
    try:
        ballast = (ballast, bytearray(size))
    except MemoryError:
        size >>= 1
try:
    while True:
        ballast = (ballast, None)  # one block of the heap: into the gaps that are left
except MemoryError:
    pass
reserve = None
gc.collect()
free = gc.mem_free()
try:
    worked = client.download(url + str(request["size"]), path) == request["size"]
except Exception:  # MemoryError, or what somebody made of it
    worked = False
ballast = None
gc.collect()
print(json.dumps({"free": free, "worked": worked}))
