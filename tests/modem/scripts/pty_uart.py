# machine.UART on a terminal device, for the Unix port. The emulator has set the terminal so that a read returns what
# there is; otherwise: stty -F PATH raw -echo min 0 time 0.

import select


class PtyUart:
    def __init__(self, path):
        self._file = open(path, "r+b", buffering=0)
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def any(self):
        # How much there is only the read tells.
        return 256 if self._poll.poll(0) else 0

    def readinto(self, buffer, n):
        return self._file.readinto(buffer, n) or None

    def write(self, data):
        return self._file.write(data)
