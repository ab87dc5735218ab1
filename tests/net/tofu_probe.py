# A device program: a context that trusts a server on first use, then a connection with it; reports in JSON.
#
# Request: path, host, port, and optionally answer (what confirm returns), fingerprint, neither (pass neither),
# settings (for Context), attempts (of the connection).

import json
import os
import sys

import rootlet
from rootlet import tofu

request = json.loads(sys.argv[1] or os.getenv("REQUEST"))
result = {"asked": [], "stored_when_asked": None}


def confirm(seen):
    result["asked"].append(seen)
    try:
        os.stat(request["path"])
        result["stored_when_asked"] = True
    except OSError:
        result["stored_when_asked"] = False
    return request.get("answer", True)


options = dict(request.get("settings", {}))
if "fingerprint" in request:
    options["fingerprint"] = request["fingerprint"]
elif not request.get("neither"):
    options["confirm"] = confirm
try:
    context = tofu.context(request["path"], request["host"], request["port"], address="127.0.0.1", **options)
    result["made"] = True
    with rootlet.connect(request["host"], request["port"], context=context, address="127.0.0.1") as c:
        c.write(b"GET / HTTP/1.0\r\n\r\n")
        result["body"] = str(c.read(), "utf-8")
except rootlet.TLSError as error:
    result["kind"] = type(error).__name__
    result["message"] = error.message
    assert error.remedy
result["files"] = len(os.listdir("/proc/self/fd"))
print(json.dumps(result))
