# Times TCP connect + TLS handshake, context included, alternately with module tls alone and with rootlet.
# Request: pairs, fresh (whether each connection makes its own rootlet.Context). Prints microseconds pair by pair, by the
# clock on the wall and of this process's processor time.

import gc
import json
import sys
from time import clock, ticks_diff, ticks_us

from race import Bare, Verified


def once(competitor):
    gc.collect()
    began_processor = clock()
    began = ticks_us()
    stream = competitor.connect()
    taken = ticks_diff(ticks_us(), began)
    processor = int((clock() - began_processor) * 1000000)
    suites.add(stream.cipher()[0])
    stream.close()
    return taken, processor


request = json.loads(sys.argv[1])
bare = Bare(request)
verified = Verified(request, request["fresh"])
suites = set()
for competitor in (bare, verified):  # imports, caches
    once(competitor)
wall = []
processor = []
for i in range(request["pairs"]):
    # Who goes first changes, so that neither always profits.
    times = {}
    for competitor in (bare, verified) if i & 1 else (verified, bare):
        times[competitor] = once(competitor)
    wall.append((times[bare][0], times[verified][0]))
    processor.append((times[bare][1], times[verified][1]))
print(json.dumps({"wall": wall, "processor": processor, "suites": sorted(suites)}))
