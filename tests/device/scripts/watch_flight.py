# A device program: lets the observer watch a real server's flight, cut at every byte.
#
# Request, in the environment: flight (file with the records as they came), units (folder of flight.py), names (hex of the
# issuers to be seen), encrypted. Reports tried and wrong (the first cuts after which it saw something else).

import json
import os
import sys

request = json.loads(os.getenv("REQUEST"))
sys.path.append(request["units"])

from binascii import hexlify

from flight import Reader, Transport, each, record

with open(request["flight"], "rb") as file:
    data = file.read()
wrong = []
tried = 0


def attempt(what, *segments, **options):
    global tried
    tried += 1
    reader = Reader(Transport(*segments, **options))
    result = reader.run()
    names = [str(hexlify(name), "ascii") for name in reader.names]
    observer = reader.observer
    if (result, names, observer.error, observer.encrypted) != (0, request["names"], None, request["encrypted"]):
        if len(wrong) < 10:
            wrong.append([what, result, repr(observer.error), len(names)])


attempt("whole", data)
for most in (1, 2, 3, 5, 7, 100):
    attempt("pieces of %d" % most, data, most=most)
for cut in range(1, len(data)):
    attempt("segment at %d" % cut, data[:cut], data[cut:])
# The handshake messages that come in clear, in records of other sizes.
messages = b""
rest = b""
at = 0
while at < len(data):
    end = at + 5 + (data[at + 3] << 8 | data[at + 4])
    if data[at] == 22 and not rest:
        messages += data[at + 5 : end]
    else:
        rest += data[at:end]
    at = end
attempt("one record", record(messages) + rest)
attempt("a record for each byte", b"".join([record(byte) for byte in each(messages)]) + rest, most=1)
for cut in range(1, len(messages)):
    attempt("record at %d" % cut, record(messages[:cut]) + record(messages[cut:]) + rest)
print(json.dumps({"tried": tried, "wrong": wrong}))
