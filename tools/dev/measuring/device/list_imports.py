# Makes one verified GET and prints, in JSON, which modules of rootlet that needed.

import json
import sys

import rootlet

request = json.loads(sys.argv[1])
context = rootlet.Context(stores=request["stores"])
with rootlet.http.get(
    "https://%s:%d/10" % (request["host"], request["port"]), context, address="127.0.0.1"
) as response:
    if len(response.read()) != 10:
        raise OSError("the response is not what was asked for")
print(json.dumps([name for name in sys.modules if name == "rootlet" or name[:8] == "rootlet."]))
