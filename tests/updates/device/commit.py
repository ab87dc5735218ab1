# A device program: puts stores in force, or not, and says in JSON which.
#
# Request: folder (flash), cases: each with name, in_force (file of the store that came with the firmware), publisher
# (file of the certificate beside it, or null), unsigned (policy), new (file of the store), usb, rollback.
# Result: for each case [kind of the exception or null, sequence in force afterwards].

import json
import os
import sys

from rootlet.slots import SlotFile, Slots

with open(sys.argv[1]) as file:
    request = json.load(file)


def copy(source, target):
    with open(source, "rb") as file, open(target, "wb") as copied:
        copied.write(file.read())


def commit(case):
    folder = request["folder"] + "/" + case["name"]
    os.mkdir(folder)
    copy(case["in_force"], folder + "/roots.rtlt")
    if case["publisher"]:
        copy(case["publisher"], folder + "/publisher.der")
    slots = Slots(folder + "/roots.rtlt", unsigned=case["unsigned"])
    path = slots.free_path()
    file = SlotFile(path)
    with open(case["new"], "rb") as new:
        file.write(new.read())
    file.close()
    kind = None
    try:
        slots.commit(path, usb=case["usb"], rollback=case["rollback"])
    except OSError as error:
        kind = type(error).__name__
    return kind, slots.current().sequence


print(json.dumps([commit(case) for case in request["cases"]]))
