# A device program: opens a store, looks up names and says what it costs and what comes out.
#
# Request, in the environment: store; names (file with hex of names, one a line; the anchors found are written to `anchors`
# as lines "line of the name, hex of the certificate"). Reports found, opened_ms, largest (certificate made, bytes), reads
# (largest number for a lookup), loaded (certificates that one tls context took), load_error.

import json
import os
import tls
from binascii import hexlify, unhexlify

import rootlet.store as module
from rootlet.store import TrustStore

request = json.loads(os.getenv("REQUEST"))
counts = [0]


class CountingFile:
    def __init__(self, path, mode):
        self._file = open(path, mode)
        self.seek = self._file.seek

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def read(self, n):
        counts[0] += 1
        return self._file.read(n)

    def readinto(self, buffer):
        counts[0] += 1
        return self._file.readinto(buffer)


store = TrustStore(request["store"])
report = {"count": store.count, "found": 0, "reads": 0, "loaded": 0, "load_error": None, "signed": store.signed}
context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
module.open = CountingFile
with open(request["names"]) as names, open(request["anchors"], "w") as out:
    number = 0
    for line in names:
        name = unhexlify(line.strip())
        counts[0] = 0
        found = store.lookup(name)
        report["reads"] = max(report["reads"], counts[0])
        for index, anchor in enumerate(found):
            der = anchor.certificate(name, index)
            out.write("%d %s\n" % (number, str(hexlify(der), "ascii")))
            report["found"] += 1
            if request.get("load"):
                try:
                    context.load_verify_locations(der)
                    report["loaded"] += 1
                except ValueError as error:
                    report["load_error"] = "%d: %s" % (number, error)
        number += 1
print(json.dumps(report))
