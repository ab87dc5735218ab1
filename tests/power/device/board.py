# A board with slots on /flash, updated by the real Updater from a server in memory.

import io
import json
import os
import sys

import rootlet.signature
from rootlet.slots import SlotFile, Slots
from rootlet.updater import Updater

PATH = "/flash/certs/roots.rtlt"

# A check of the same signature again gives the same answer, so it is made once.
checked = {}
_shake_hands = rootlet.signature._shake_hands


def _once(envelope, name, publisher):
    key = (bytes(envelope[0]), name, bytes(publisher))
    if key not in checked:
        checked[key] = _shake_hands(envelope, name, publisher)
    return checked[key]


rootlet.signature._shake_hands = _once


class _Connection(io.IOBase):
    def __init__(self, server):
        self._server = server
        self._answer = None

    def readinto(self, buffer, n=None):
        return self._answer.readinto(buffer)

    def readline(self, limit=-1):
        return self._answer.readline()

    def write(self, data):
        self._answer = io.BytesIO(self._server.answer(str(data, "ascii")))
        return len(data)

    def ioctl(self, request, argument):
        return argument

    def setblocking(self, flag):
        pass

    def close(self):
        pass


class Server:
    # A transport whose server has `store`, and breaks the connection after `limit` bytes of it.

    def __init__(self, store, limit=None):
        self._store = store
        self._limit = limit
        self.resumed_at = 0

    def connect(self, host, port, timeout_ms):
        return _Connection(self)

    def answer(self, request):
        store = self._store
        tag = '"%d"' % store[8]
        status = "200 OK"
        start = 0
        if "If-Range: %s\r\n" % tag in request:
            start = self.resumed_at = int(request.split("Range: bytes=")[1].split("-")[0])
            status = "206 Partial Content\r\nContent-Range: bytes %d-%d/%d" % (start, len(store) - 1, len(store))
        head = "HTTP/1.1 %s\r\nETag: %s\r\nContent-Length: %d\r\n\r\n" % (status, tag, len(store) - start)
        return head.encode() + store[start : self._limit]


def slots():
    return Slots(PATH)


def update(store, limit=None):
    # Returns the updater after one run.
    server = Server(store, limit)
    updater = Updater(slots(), "http://publisher.example/roots.rtlt", transport=server)
    updater.run()
    updater.resumed_at = server.resumed_at
    return updater


def push(store, **options):
    # As over USB. Returns whether it was taken.
    target = slots()
    path = target.free_path()
    try:
        file = SlotFile(path)
        try:
            file.write(store)
        finally:
            file.close()
        target.commit(path, usb=True, **options)
        return True
    except OSError:
        return False


def sequence():
    store = slots().current()
    return store.sequence if store else None


def read(path):
    with open(path, "rb") as file:
        return file.read()


def request():
    return json.loads(read(sys.argv[1]))


def files(folder):
    # Every file below /flash/certs.
    found = []
    for name in os.listdir(folder):
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            found += files(path)
        else:
            found.append(path)
    return found
