# A device program: verified requests through a modem. Prints one line of JSON: what came, or what went wrong.
#
# Request: pty, cafile, host, port; optionally pin, rx_bytes, timeout_ms, path, repeat, up (False: let connect do it).

import gc
import json
import sys

from pty_uart import PtyUart

import rootlet
from rootlet.modem import SIM800

request = json.loads(sys.argv[1])
modem = SIM800(PtyUart(request["pty"]), pin=request.get("pin"), apn="internet", rx_bytes=request.get("rx_bytes", 512))
result = {"bodies": []}
try:
    if request.get("up", True):
        modem.up()
        result["address"] = modem.address
        result["signal"] = modem.signal()
    context = rootlet.Context(cafile=request["cafile"])
    for _ in range(request.get("repeat", 1)):
        with rootlet.connect(
            request["host"], request["port"], context, transport=modem, timeout_ms=request.get("timeout_ms", 20000)
        ) as c:
            c.write(
                b"GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (request.get("path", "/").encode(), request["host"].encode())
            )
            body = b""
            buffer = bytearray(1000)
            while True:
                n = c.readinto(buffer)
                if not n:
                    break
                body += buffer[:n]
            result["bodies"].append(str(body.split(b"\r\n\r\n", 1)[1], "utf-8"))
            result["cipher"] = c.cipher()
except OSError as error:
    result["error"] = type(error).__name__
    result["words"] = str(error)
gc.collect()
result["sent"] = modem.channel.sent
result["received"] = modem.channel.received
print(json.dumps(result))
