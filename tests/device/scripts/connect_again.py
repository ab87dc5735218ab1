# A device program: connects to one port after the other as the same host, with one Context.
#
# Request, in the environment: ports, host, cafile. Reports for each connection: kind (None when it went well),
# message, bytes (of the answer), late_issuers (how many names the Context keeps).

import json
import os

import rootlet

request = json.loads(os.getenv("REQUEST"))
context = rootlet.Context(cafile=request["cafile"])
reports = []
for port in request["ports"]:
    report = {"kind": None, "message": "", "bytes": 0}
    try:
        with rootlet.connect(request["host"], port, context=context, address="127.0.0.1") as c:
            c.write(b"GET / HTTP/1.0\r\n\r\n")
            buffer = bytearray(1000)
            while True:
                n = c.readinto(buffer)
                if not n:
                    break
                report["bytes"] += n
    except rootlet.TLSError as error:
        report["kind"] = type(error).__name__
        report["message"] = error.message
    report["late_issuers"] = sum([len(names) for names in context.late_issuers.values()])
    reports.append(report)
print(json.dumps(reports))
