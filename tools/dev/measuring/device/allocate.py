# Bytes of the Python heap that a handshake allocates, garbage included, and that are still live afterwards.
# Request: who ("bare" or "verified-fresh"). Mbed TLS's memory is not in this heap on the Unix port.

import gc
import json
import sys

from race import Bare, Verified

request = json.loads(sys.argv[1])
competitor = Bare(request) if request["who"] == "bare" else Verified(request)
competitor.connect().close()  # imports
gc.collect()
gc.disable()
before = gc.mem_alloc()
stream = competitor.connect()
after = gc.mem_alloc()
gc.enable()
gc.collect()
live = gc.mem_alloc()
stream.close()
print(json.dumps({"allocated": after - before, "live": live - before}))
