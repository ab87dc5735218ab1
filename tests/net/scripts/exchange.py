# A device program: connects, says something, hears something, and reports how it went.
#
# Request, in JSON in the environment: host, port, and optionally context (arguments of Context; values of
# {"hex": …} are bytes), say (bytes), bytes (how many to hear; all), connect (False: only make the Context).

import gc
import json
import os
from binascii import hexlify, unhexlify

import rootlet


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
result = {"kind": None}
try:
    context = rootlet.Context(**{name: decoded(value) for name, value in request["context"].items()})
    if request.get("connect", True):
        with rootlet.connect(request["host"], request["port"], context, address="127.0.0.1", timeout_ms=5000) as c:
            result["cipher"] = c.cipher()
            c.write(decoded(request["say"]))
            heard = c.read(request["bytes"]) if "bytes" in request else c.read()
            result["heard"] = str(hexlify(heard), "ascii")
except rootlet.TLSError as error:
    result["kind"] = type(error).__name__
    result["message"] = error.message
    result["remedy"] = error.remedy
    result["alert"] = getattr(error, "alert", None)
gc.collect()
result["stayed_open"] = files() - before
print(json.dumps(result))
