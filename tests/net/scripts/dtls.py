# A device program: exchanges datagrams with a server and reports how it went.
#
# Request, in JSON in the environment: host, port, context (arguments of Context; values of {"hex": …} are bytes), say (a
# list of hexadecimal datagrams), timeout_ms, mtu, expect (False: nobody answers), wait_ms (for an answer).

import gc
import json
import os
import time
from binascii import hexlify, unhexlify

import rootlet
from rootlet import dtls


def decoded(value):
    if isinstance(value, dict):
        return unhexlify(value["hex"])
    if isinstance(value, list):
        return [decoded(part) for part in value]
    return value


def files():
    return len(os.listdir("/proc/self/fd"))


request = json.loads(os.getenv("REQUEST"))
before = files()
result = {"kind": None, "heard": []}
started = time.ticks_ms()
try:
    context = rootlet.Context(**{name: decoded(value) for name, value in request["context"].items()})
    options = {name: request[name] for name in ("timeout_ms", "mtu") if name in request}
    with dtls.connect(request["host"], request["port"], context, address="127.0.0.1", **options) as c:
        result["cipher"] = c.cipher()
        result["anchors"] = len(c.anchor_names())
        certificate = c.peer_certificate()
        result["certificate"] = certificate is not None and str(hexlify(certificate), "ascii")
        for datagram in request["say"]:
            # Datagrams may get lost: said again until there is an answer.
            for _ in range(request.get("tries", 1)):
                c.send(unhexlify(datagram))
                heard = c.recv(timeout_ms=request.get("wait_ms", 1000))
                if heard is not None:
                    break
            result["heard"].append(heard is not None and str(hexlify(heard), "ascii"))
except rootlet.TLSError as error:
    result["kind"] = type(error).__name__
    result["message"] = error.message
    result["remedy"] = error.remedy
result["elapsed_ms"] = time.ticks_diff(time.ticks_ms(), started)
gc.collect()
result["stayed_open"] = files() - before
print(json.dumps(result))
