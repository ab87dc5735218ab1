# A device program: tries to connect and reports, in JSON, how it went and what it left behind.
#
# Request: host, port, and optionally address, server_hostname, timeout_ms, store, stores, cafile, ciphers, policy,
# pins, allow_single,
# repeat (attempts), warm_up (attempts before the counting begins), read (False: only connect), now (unused).

import gc
import json
import os
import sys
import time

import rootlet


def attempt(request, options):
    started = time.ticks_ms()
    result = {}
    try:
        context = rootlet.Context(**options)
        connecting = {}
        for name in ("server_hostname", "address", "timeout_ms"):
            if name in request:
                connecting[name] = request[name]
        with rootlet.connect(request["host"], request["port"], context=context, **connecting) as c:
            result["cipher"] = c.cipher()
            certificate = c.peer_certificate()
            result["certificate_bytes"] = len(certificate) if certificate else 0
            if request.get("read", True):
                c.write(b"GET / HTTP/1.0\r\nHost: %s\r\n\r\n" % request["host"].encode())
                result["body"] = str(c.read(), "utf-8")
    except rootlet.TLSError as error:
        result["kind"] = type(error).__name__
        result["kinds"] = [base.__name__ for base in (type(error),) + type(error).__bases__]
        result["message"] = error.message
        result["remedy"] = error.remedy
        result["cause"] = repr(error.cause)
        result["reasons"] = list(getattr(error, "reasons", ()))
        for name in ("rule", "depth", "alert", "seen"):
            if hasattr(error, name):
                result[name] = getattr(error, name)
    result["elapsed_ms"] = time.ticks_diff(time.ticks_ms(), started)
    return result


def resident_kb():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1])


def usage():
    gc.collect()
    gc.collect()
    return {"files": len(os.listdir("/proc/self/fd")), "heap_bytes": gc.mem_alloc(), "resident_kb": resident_kb()}


request = json.loads(sys.argv[1] or os.getenv("REQUEST"))
options = {}
for name in ("store", "stores", "cafile", "ciphers", "policy", "pins", "allow_single"):
    if name in request:
        options[name] = request[name]
for _ in range(request.get("warm_up", 0)):
    attempt(request, options)
before = usage()
for _ in range(request.get("repeat", 1)):
    result = attempt(request, options)
result["before"] = before
result["after"] = usage()
print(json.dumps(result))
