# A device program: brings an unset clock up with SNTP and says what the real-time clock was set to.
#
# Request: host, port, timeout_ms. A fake module machine takes the place of the one that the Unix port does not have.

import json
import sys
import time


class RTC:
    set_to = None

    def datetime(self, value):
        RTC.set_to = value


class machine:
    RTC = RTC


sys.modules["machine"] = machine

from rootlet import clock, timekeeping
from rootlet.errors import TLSError

request = json.loads(sys.argv[1])
started = time.ticks_ms()
result = {"before": clock.now()}
try:
    result["seconds"] = timekeeping.synchronise(request["host"], timeout_ms=request["timeout_ms"], port=request["port"])
except TLSError as error:
    result["kind"] = type(error).__name__
    result["message"] = str(error)
result["rtc"] = RTC.set_to
result["elapsed_ms"] = time.ticks_diff(time.ticks_ms(), started)
print(json.dumps(result))
