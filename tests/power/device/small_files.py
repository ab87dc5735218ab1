# A device program: power fails at every single write of a small file. See tests/power/test_small_files.py.
#
# Request: kind ("fat" or "littlefs"), size, block_size, fates, file ("tofu": a certificate that is stored on first use;
# "clock": the time that is remembered, which replaces an older one).

import json

import board
import flash
import rootlet
from rootlet import clock, timekeeping, tofu

r = board.request()
kind, block_size = r["kind"], r["block_size"]
PATH = "/flash/file"
OLD, NEW = 1_790_000_000, 1_790_100_000  # a day and more between them
CERTIFICATE = flash.noise(700, 1)
certificates = tofu.certificates
tofu.certificates = lambda data: [data] if data == CERTIFICATE else []
tofu._is_self_issued = lambda der: True


def save():
    if r["file"] == "tofu":
        tofu._save(PATH, CERTIFICATE)
    else:
        rootlet.remembered_s = 0
        timekeeping.load(PATH)
        clock.now = lambda: NEW
        timekeeping.remember(PATH)


def found():
    # "old", "new", or "none"; anything else is a fault.
    if r["file"] == "tofu":
        try:
            der = tofu.load(PATH)
        except OSError as error:
            return str(error)
        return "none" if der is None else "new" if der == CERTIFICATE else "another"
    rootlet.remembered_s = 0
    timekeeping.load(PATH)
    return {0: "none", OLD: "old", NEW: "new"}.get(rootlet.remembered_s, "another")


def power_cycle(data):
    flash.unmount()
    return flash.mount(kind, data, block_size)


image = flash.make(kind, r["size"], block_size)
flash.mount(kind, image, block_size)
if r["file"] == "clock":
    clock.now = lambda: OLD
    assert timekeeping.remember(PATH)
flash.unmount()
image = bytes(image)

outcomes = {}
faults = []
points = 0
for fate in r["fates"]:
    budget = 0
    while True:
        data = bytearray(image)
        device = flash.mount(kind, data, block_size)
        device.budget = budget
        device.fate = fate
        try:
            save()
        except OSError:
            pass
        if device.failed_at is None:
            assert found() == "new"
            flash.unmount()
            break
        points += 1
        budget += 1
        power_cycle(data)
        here = found()
        key = fate + " " + here
        outcomes[key] = outcomes.get(key, 0) + 1
        try:
            save()
            again = found()
        except OSError as error:
            again = str(error)
        if again != "new":
            faults.append("%s at write %d: %s, and then %s" % (fate, budget - 1, here, again))
        flash.unmount()
print(json.dumps({"points": points, "outcomes": outcomes, "faults": faults}))
