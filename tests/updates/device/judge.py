# A device program: takes malformed stores from a file (each behind its length, u32) and says what becomes of them.
#
# Request: cases (path of that file), folder (flash), names (subjects to look up, hex), results (path of the output: a line
# of JSON each, [why commit refused it or None, kind of exception of the first look-up that failed or None]).
# Any exception but a TrustStoreError ends the program with a traceback.

import gc
import json
import os
import sys
from binascii import unhexlify

import tls

from rootlet.errors import TrustStoreError
from rootlet.slots import SlotFile, Slots
from rootlet.store import TrustStore

with open(sys.argv[1]) as file:
    request = json.load(file)
names = [unhexlify(name) for name in request["names"]]
path = request["folder"] + "/roots.rtlt"
slots = Slots(path, unsigned="usb")


def commit(data):
    slot = slots.free_path()
    file = SlotFile(slot)
    file.write(data)
    file.close()
    try:
        slots.commit(slot, usb=True)
    except TrustStoreError as error:
        return error.message
    os.remove(slot)
    return None


def use(data):
    # As if it were in force: no check but the digest stands between it and a handshake.
    with open(path, "wb") as file:
        file.write(data)
    try:
        store = TrustStore(path)
        for name in names:
            for anchor in store.lookup(name, "www.example.org"):
                try:
                    tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).load_verify_locations(anchor.certificate(name, 1))
                except ValueError:
                    pass  # what a handshake reports
        store.is_blocked(b"a" * 32)
        store.publisher()
        store.envelope()
    except TrustStoreError as error:
        return type(error).__name__
    finally:
        os.remove(path)
    return None


with open(request["cases"], "rb") as cases, open(request["results"], "w") as results:
    while True:
        head = cases.read(4)
        if not head:
            break
        data = cases.read(int.from_bytes(head, "little"))
        results.write(json.dumps([commit(data), use(data)]) + "\n")
        data = None
        gc.collect()
