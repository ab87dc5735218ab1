# Times small GETs up to the first byte of the body, alternately over a kept connection and over a new one.
# Request: rounds. Prints microseconds, pair by pair: [new, kept].

import gc
import json
import sys
from time import ticks_diff, ticks_us

import rootlet
from rootlet.http import Client

request = json.loads(sys.argv[1])
context = rootlet.Context(stores=request["stores"])
clients = [Client(context, keep=keep, address="127.0.0.1") for keep in (0, 1)]
url = "https://%s:%d/64" % (request["host"], request["port"])
buffer = bytearray(64)


def once(client):
    gc.collect()
    began = ticks_us()
    response = client.get(url)
    n = response.readinto(buffer)
    taken = ticks_diff(ticks_us(), began)
    while n < 64:
        n += response.readinto(memoryview(buffer)[n:])
    response.close()
    return taken


for client in clients:
    once(client)
print(json.dumps({"pairs": [[once(client) for client in clients] for _ in range(request["rounds"])]}))
