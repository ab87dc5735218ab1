# A device program: every bit of every file of the slots is flipped, one at a time. See tests/power/test_corruption.py.
#
# Request: folder (a file system for the slots), stores (paths, by sequence), installed, next (a release that a board with
# any of the installed stores but the first takes), step (of the bits, 1: all), update_step (of the bits after which the
# next update is tried, too).

import json
import os

import board

r = board.request()
stores = {int(n): board.read(path) for n, path in r["stores"].items()}
board.PATH = r["folder"] + "/certs/roots.rtlt"
installed = r["installed"]
os.mkdir(r["folder"] + "/certs")
with open(board.PATH, "wb") as file:
    file.write(stores[installed[0]])
for sequence in installed[1:]:
    updater = board.update(stores[sequence])
    assert updater.outcome == "updated", updater.error

paths = [path for path in board.files(r["folder"] + "/certs") if path != board.PATH]
contents = {path: board.read(path) for path in paths}


def put(path, at, byte):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes((byte,)))


def restore():
    for path in board.files(r["folder"] + "/certs"):
        if path in contents and board.read(path) != contents[path]:
            with open(path, "wb") as file:
                file.write(contents[path])


publishers = board.slots().publishers()
assert len(publishers) == 1
bits = updates = fallbacks = 0
faults = []
for path in paths:
    content = contents[path]
    for bit in range(0, 8 * len(content), r["step"]):
        at, mask = bit // 8, 1 << bit % 8
        put(path, at, content[at] ^ mask)
        bits += 1
        where = "%s, bit %d" % (path, bit)
        here = board.sequence()
        if here not in installed[-2:]:
            faults.append("%s: in force is %s" % (where, here))
        fallbacks += here != installed[-1]
        if path.endswith("/signer") and board.slots().publishers() != publishers:
            faults.append("%s: who may sign the next store is forgotten" % where)
        if bit % r["update_step"] == 0:
            updates += 1
            updater = board.update(stores[r["next"]])
            if updater.outcome != "updated" or board.sequence() != r["next"]:
                faults.append("%s: %s" % (where, updater.error))
            restore()
        put(path, at, content[at])
print(
    json.dumps({"bits": bits, "updates": updates, "fallbacks": fallbacks, "faults": faults[:20], "files": len(paths)})
)
