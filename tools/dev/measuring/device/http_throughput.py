# Times the download of a long body in pieces, alternately with micropython-lib's `requests` (which verifies nothing)
# and with rootlet's client, each over a new connection; dialling and handshake are not counted. What counts is processor time: the network is none here.
# Request: size, pairs, piece (bytes). Prints microseconds, pair by pair: [requests, rootlet].

import gc
import json
import sys
import requests
import rootlet
from rootlet.http import Client

request = json.loads(sys.argv[1])
size = request["size"]
client = Client(rootlet.Context(stores=request["stores"]), keep=0, address="127.0.0.1")
buffer = bytearray(request["piece"])


def with_requests():
    return requests.get("https://127.0.0.1:%d/%d" % (request["port"], size))


def with_rootlet():
    return client.get("https://%s:%d/%d" % (request["host"], request["port"], size))


def processor_us():
    # Linux: nanoseconds on a processor, runs, nanoseconds waiting for one (Documentation/scheduler/sched-stats.rst).
    with open("/proc/self/schedstat") as file:
        return int(file.read().split()[0]) // 1000


def once(get):
    response = get()
    stream = getattr(response, "raw", response)
    gc.collect()
    got = 0
    began = processor_us()
    while got < size:  # to read on at the end, stock TLS waits for the server
        n = stream.readinto(buffer)
        if not n:
            raise OSError("only %d bytes came" % got)
        got += n
    taken = processor_us() - began
    response.close()
    return taken


pairs = []
once(with_requests)
once(with_rootlet)
for i in range(request["pairs"]):
    if i & 1:
        theirs, ours = once(with_requests), once(with_rootlet)
    else:
        ours, theirs = once(with_rootlet), once(with_requests)
    pairs.append([theirs, ours])
print(json.dumps({"pairs": pairs}))
