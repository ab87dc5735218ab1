# A device program: connects twice to each of some ports, says what came of it, and which modules are loaded then.
#
# Request, in JSON in the environment: cafile, host, ports (by name).

import json
import os
import sys

import rootlet

rootlet.forgets = True  # as in firmware
request = json.loads(os.getenv("REQUEST"))
context = rootlet.Context(cafile=request["cafile"])
result = {}
for name, port in request["ports"].items():
    kinds = []
    for _ in range(2):
        try:
            rootlet.connect(request["host"], port, context, address="127.0.0.1").close()
            kinds.append(None)
        except OSError as error:
            kinds.append(type(error))
    assert kinds[0] is kinds[1], "a program could not tell that it is the same failure"
    loaded = sorted(name[8:] for name in sys.modules if name[:8] == "rootlet.")
    result[name] = kinds[0].__name__ if kinds[0] else "nothing", loaded
print(json.dumps(result))
