# The same GET through a SIM800 modem on the terminal UART. See run_job.py.

import select
from os import getenv


class Uart:
    # machine.UART on a terminal device that is set so that a read returns what there is.
    def __init__(self, path):
        self._file = open(path, "r+b", buffering=0)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def any(self):
        return 256 if self._poll.poll(0) else 0

    def readinto(self, buffer, n):
        return self._file.readinto(buffer, n) or None

    def write(self, data):
        return self._file.write(data)


class Watched:
    # The modem, with a phase where a connection through it has been made.
    def __init__(self, modem, phase):
        self._modem = modem
        self._phase = phase

    def connect(self, *arguments):
        stream = self._modem.connect(*arguments)
        self._phase("dialled")
        return stream


def run(host, port, ca, stores, phase):
    import rootlet
    from rootlet.modem import SIM800

    rootlet.Context, rootlet.connect
    phase("imported")
    modem = SIM800(Uart(getenv("UART")), apn="internet")
    modem.up()
    context = rootlet.Context(stores=stores)
    phase("ready")
    stream = rootlet.connect(host, port, context=context, transport=Watched(modem, phase), timeout_ms=60_000)
    phase("connected")
    stream.write(b"GET /100 HTTP/1.0\r\nHost: %s\r\n\r\n" % host)
    buffer = bytearray(512)
    got = 0
    n = len(buffer)
    while n == len(buffer):
        n = stream.readinto(buffer)
        got += n
    phase("answered")
    stream.close()
    return got > 100
