# A device program: power fails at every single write of an update. See tests/power/test_power_loss.py.
#
# Request: kind ("fat" or "littlefs"), size, block_size, fates, stores (paths of files, by sequence), installed (sequences
# that are put on the board before), step ("update", "broken" or "rollback") to `new`, next (the sequence after it).

import json
import os

import board
import flash

r = board.request()
stores = {int(n): board.read(path) for n, path in r["stores"].items()}
kind, block_size, new = r["kind"], r["block_size"], r["new"]
resumed = []


def step():
    if r["step"] == "rollback":
        return board.push(stores[new], rollback=True)
    if r["step"] == "broken":
        # The connection breaks on the way, and the second attempt downloads only the rest.
        board.update(stores[new], 4500)
    updater = board.update(stores[new])
    resumed.append(updater.resumed_at)
    return updater.outcome == "updated"


def power_cycle(data):
    flash.unmount()
    return flash.mount(kind, data, block_size)


def attempt(data, budget, fate):
    # Returns (power failed, what is wrong afterwards, bytes that are lost).
    device = power_cycle(data)
    device.budget = budget
    device.fate = fate
    try:
        step()
    except OSError:
        pass
    if device.failed_at is None:
        return False, None, 0
    power_cycle(data)
    try:
        here = board.sequence()
        if here not in (old, new):
            return True, "write %d at %d: in force is %s" % (budget, device.failed_at, here), 0
        if here != new and not step() and board.sequence() != new:
            return True, "write %d at %d: the same step fails" % (budget, device.failed_at), 0
        updater = board.update(stores[r["next"]])
        if updater.outcome != "updated" or board.sequence() != r["next"]:
            return True, "write %d at %d: next: %s" % (budget, device.failed_at, updater.error), 0
    except Exception as error:
        return True, "write %d at %d: %r" % (budget, device.failed_at, error), 0
    return True, None, free_after - flash.free_bytes()


image = flash.make(kind, r["size"], block_size)
flash.mount(kind, image, block_size)
os.mkdir("/flash/certs")
installed = r["installed"]
with open(board.PATH, "wb") as file:
    file.write(stores[installed[0]])
for sequence in installed[1:]:
    updater = board.update(stores[sequence])
    assert updater.outcome == "updated", updater.error
old = board.sequence()
assert old == installed[-1]
image = bytes(image)

data = bytearray(image)
power_cycle(data)
assert step(), board.update(stores[new]).error
assert board.sequence() == new
assert board.update(stores[r["next"]]).outcome == "updated"
free_after = flash.free_bytes()

points = 0
faults = []
lost_bytes = {}
for fate in r["fates"]:
    budget = 0
    while True:
        failed, fault, lost = attempt(bytearray(image), budget, fate)
        if not failed:
            break
        points += 1
        budget += 1
        lost_bytes[fate] = max(lost_bytes.get(fate, 0), lost)
        if fault:
            faults.append(fate + ", " + fault)

# And a hundred failures one after another on the same flash.
data = bytearray(image)
for i in range(r.get("in_a_row", 0)):
    device = power_cycle(data)
    device.budget = flash.noise(1, i)[0] % budget
    device.fate = r["fates"][i % 3]
    try:
        step()
    except OSError:
        pass
    power_cycle(data)
    if board.sequence() not in (old, new):
        faults.append("in a row: after %d failures nothing is in force" % i)
        break
    if board.sequence() == new:
        data = bytearray(image)
flash.unmount()
print(
    json.dumps(
        {
            "points": points,
            "writes": budget,
            "faults": faults,
            "lost_bytes": lost_bytes,
            "resumed_at": resumed[0] if resumed else 0,
            "signatures": len(board.checked),
        }
    )
)
