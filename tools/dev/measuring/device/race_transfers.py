# Times the reading of a long response, alternately with module tls alone and with rootlet.
# Request: pairs, size. Prints microseconds, pair by pair.

import gc
import json
import sys
from time import ticks_diff, ticks_us

from race import Bare, Verified, ask


def once(competitor, size, buffer):
    stream = competitor.connect()
    ask(stream, competitor.host, size)
    gc.collect()
    got = 0
    began = ticks_us()
    n = len(buffer)
    while n == len(buffer):  # a read is short only at the end; to ask module tls again would wait for the server
        n = stream.readinto(buffer)
        got += n
    taken = ticks_diff(ticks_us(), began)
    stream.close()
    if got < size:
        raise OSError("only %d bytes came" % got)
    return taken


request = json.loads(sys.argv[1])
competitors = Bare(request), Verified(request, False)
buffer = bytearray(4096)
for competitor in competitors:
    once(competitor, 1, buffer)
pairs = []
for i in range(request["pairs"]):
    times = [0, 0]
    for k in (0, 1) if i & 1 else (1, 0):
        times[k] = once(competitors[k], request["size"], buffer)
    pairs.append(times)
print(json.dumps({"pairs": pairs}))
