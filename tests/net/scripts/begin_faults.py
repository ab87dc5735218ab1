# A device program: something goes wrong just before a handshake begins, or just after it, and it says what was raised and
# what stayed open.
#
# Request, in JSON in the argument: host, port, cafile, fault ("", "memory", "observer", "settimeout", "setblocking",
# "close").

import io
import json
import select
import socket
import sys

import rootlet

request = json.loads(sys.argv[1])
fault = request["fault"]
context = rootlet.Context(cafile=request["cafile"])
closed = 0


class Transport(io.IOBase):
    """A socket, some of whose methods fail."""

    def __init__(self, sock):
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, 0)

    def readinto(self, buffer):
        return self._sock.readinto(buffer)

    def write(self, data):
        return self._sock.write(data)

    def ioctl(self, request, argument):
        if request != 3:  # MP_STREAM_POLL
            return 0
        self._poll.modify(self._sock, argument)
        ready = self._poll.poll(0)
        return ready[0][1] if ready else 0

    def settimeout(self, seconds):
        if fault == "settimeout":
            raise OSError(5, "no such setting")
        self._sock.settimeout(seconds)

    def setblocking(self, flag):
        if fault == "setblocking" and flag:
            raise OSError(5, "no such setting")
        self._sock.setblocking(flag)

    def close(self):
        global closed
        closed += 1
        self._sock.close()
        if fault == "close":
            raise OSError(5, "already")


class Dialler:
    def connect(self, host, port, timeout_ms):
        sock = socket.socket()
        sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        return Transport(sock)


freed = 0


def count_frees():
    from rootlet.handshake import Handshake

    free = Handshake.free

    def counted(self):
        global freed
        freed += 1
        free(self)

    Handshake.free = counted


if fault == "memory":

    def fail(*_):
        raise MemoryError

    rootlet.beginning.check = fail
elif fault == "observer":
    from rootlet.handshake import Handshake

    def broken(*_):
        raise MemoryError

    Handshake.Observer = broken
    count_frees()
elif fault == "close":
    count_frees()

try:
    connection = rootlet.connect(request["host"], request["port"], context, transport=Dialler())
    connection.close()
    error = None
except Exception as raised:
    error = raised
print(
    json.dumps(
        {
            "kind": error and type(error).__name__,
            "text": str(error),
            "closed": closed,
            "freed": freed,
        }
    )
)
