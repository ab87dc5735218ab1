# A device program: damages a good store in every way of one bit and one cut, and tries to open what is left.
#
# Request, in the environment: store; unsigned (its length without the signature, at which a cut leaves a good store).
# Reports tried and accepted (the first places of damage that was not noticed).

import json
import os

from rootlet.errors import TrustStoreDamagedError
from rootlet.store import TrustStore

request = json.loads(os.getenv("REQUEST"))
path = request["store"]
assert TrustStore(path).signed
with open(path, "rb") as file:
    data = bytearray(file.read())
copy = path + ".copy"
accepted = []
tried = 0


def attempt(what):
    global tried
    tried += 1
    try:
        TrustStore(copy)
    except TrustStoreDamagedError:
        return
    if len(accepted) < 20:
        accepted.append(what)


with open(copy, "wb") as file:
    file.write(data)
with open(copy, "r+b") as file:
    for at in range(len(data)):
        for bit in range(8):
            file.seek(at)
            file.write(bytes((data[at] ^ 1 << bit,)))
            file.flush()
            attempt((at, bit))
        file.seek(at)
        file.write(data[at : at + 1])
        file.flush()
for n in range(len(data)):
    if n != request["unsigned"]:
        with open(copy, "wb") as file:
            file.write(memoryview(data)[:n])
        attempt(n)
print(json.dumps({"tried": tried, "accepted": accepted}))
