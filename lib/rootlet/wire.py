"""TLS records as they go by, for a trace: headers, handshake messages in clear, alerts. Keeps nothing of the rest."""

from micropython import const

# RFC 8446, 5.1 and B.3; RFC 5246, 7.4.
_TYPES = {20: "change_cipher_spec", 21: "alert", 22: "handshake", 23: "application_data"}
_MESSAGES = {
    0: "hello_request",
    1: "client_hello",
    2: "server_hello",
    4: "new_session_ticket",
    11: "certificate",
    12: "server_key_exchange",
    13: "certificate_request",
    14: "server_hello_done",
    15: "certificate_verify",
    16: "client_key_exchange",
    20: "finished",
    22: "certificate_status",
}
_CHANGE_CIPHER_SPEC = const(20)
_ALERT = const(21)
_HANDSHAKE = const(22)
_FATAL = const(2)
_SERVER_HELLO = const(2)
_HELLO_BYTES = const(71)  # up to the cipher suite, with the longest session identifier: RFC 5246, 7.4.1.3
_CERTIFICATE = const(11)
_PHASES = const(1)  # levels, as in trace.py
_DECISIONS = const(2)
_RECORDS = const(3)


def type_name(number):
    return _TYPES.get(number) or "type %d" % number


def message_name(number):
    return _MESSAGES.get(number) or "type %d" % number


def tell_alert(journal, direction, level, number):
    """Tells an alert in clear (RFC 5246, 7.2)."""
    try:
        from .alerts import name

        what = name(number)
    except MemoryError:
        what = "number %d" % number  # Mbed TLS called: what is traced must not fail for want of a word
    severity = "fatal" if level == _FATAL else "warning"
    journal.event(_PHASES, "alert", "direction", direction, "alert", what, "severity", severity)


def tell_hello(journal, data):
    """Tells the beginning of a ServerHello (RFC 5246, 7.4.1.3); False if there is too little of it."""
    if len(data) < 35:
        return False
    at = 35 + data[34]
    if len(data) < at + 2:
        return False
    version = "0x%02x%02x" % (data[0], data[1])
    suite = "0x%02x%02x" % (data[at], data[at + 1])
    journal.event(_PHASES, "server_hello", "legacy_version", version, "suite", suite)
    return True


class Offered:
    """The certificates of a server's Certificate message (RFC 5246, 7.4.2), described. Handshake messages are fed in
    whatever pieces they come, if the journal's level is high enough.

    Mbed TLS shows only what it can build a chain of. What the others are like is needed just when a chain is refused:
    `journal.offered` gets them, as fields of events.
    """

    MAX = 4
    MAX_BYTES = 4096

    def __init__(self, journal):
        self._journal = journal if journal.level >= _DECISIONS else None
        self._head = bytearray(4)
        self._got = 0
        self._need = 4  # of a message's header, then 3 of a length
        self._left = -1  # bytes of the message that are still to come
        self._skip = 0
        self._der = None
        self._count = 0

    def feed(self, data, at, end):
        if self._journal is None:
            return
        try:
            while at < end and self._journal is not None:
                if self._skip:
                    n = min(self._skip, end - at)
                    self._skip -= n
                elif self._der is None:
                    n = min(self._need - self._got, end - at)
                    self._head[self._got : self._got + n] = data[at : at + n]
                    self._got += n
                    if self._got == self._need:
                        self._got = 0
                        self._header()
                else:
                    n = min(len(self._der) - self._got, end - at)
                    self._der[self._got : self._got + n] = data[at : at + n]
                    self._got += n
                    if self._got == len(self._der):
                        self._got = 0
                        self._describe()
                at += n
        except Exception:
            # Called by Mbed TLS: nothing may be raised. For want of memory there are fewer words.
            self._journal = self._der = None

    def _header(self):
        head = self._head
        if self._need == 4:
            n = head[1] << 16 | head[2] << 8 | head[3]
            if head[0] != _CERTIFICATE:
                self._skip = n
            else:
                self._need = 3
                self._journal.offered = []
        elif self._left < 0:
            self._left = head[0] << 16 | head[1] << 8 | head[2]
        else:
            n = head[0] << 16 | head[1] << 8 | head[2]
            self._left -= 3 + n
            if self._left < 0 or self._count == self.MAX:
                self._journal = None
            elif n > self.MAX_BYTES:
                self._skip = n
            elif n:
                self._der = bytearray(n)
        if not self._left:
            if self._der is None:
                self._journal = None
            self._left = -2  # the last one is being read

    def _describe(self):
        from .tracesinks import described

        der, self._der = self._der, None
        self._journal.offered.append(["sent", self._count] + described(der))
        self._count += 1
        if self._left == -2:
            self._journal = None


class Records:
    """The records of one direction ("in" or "out"), fed in whatever pieces they come. Tells `journal`, and feeds
    `offered` (an Offered, or None) with the handshake messages in clear."""

    def __init__(self, journal, direction, offered=None):
        self._offered = offered
        self._journal = journal
        self._direction = direction
        self._head = bytearray(5)
        self._got = 0
        self._left = 0  # bytes of the record's body to come
        self._encrypted = False
        self._small = bytearray(4)  # the header of a message, or an alert
        self._small_got = 0
        self._message_left = 0
        self._hello = None  # the beginning of the ServerHello, while it comes

    def feed(self, data):
        at = 0
        end = len(data)
        while at < end:
            if self._left:
                n = min(self._left, end - at)
                if not self._encrypted:
                    if self._head[0] == _HANDSHAKE:
                        if self._offered is not None:
                            self._offered.feed(data, at, at + n)
                        self._messages(data, at, at + n)
                    elif self._head[0] == _ALERT:
                        self._alert(data, at, at + n)
                self._left -= n
                if not self._left and self._head[0] == _CHANGE_CIPHER_SPEC:
                    self._encrypted = True
            else:
                n = min(5 - self._got, end - at)
                self._head[self._got : self._got + n] = data[at : at + n]
                self._got += n
                if self._got == 5:
                    self._record()
            at += n

    def _record(self):
        self._got = 0
        self._left = self._head[3] << 8 | self._head[4]
        kind = self._head[0]
        tell = self._journal.event
        name = type_name(kind)
        tell(_RECORDS, "record", "direction", self._direction, "type", name, "bytes", self._left)
        if kind == _ALERT:
            self._small_got = 0
            if self._encrypted:
                tell(_PHASES, "alert", "direction", self._direction, "alert", "encrypted")

    def _alert(self, data, at, end):
        while at < end and self._small_got < 2:
            self._small[self._small_got] = data[at]
            self._small_got += 1
            at += 1
            if self._small_got == 2:
                tell_alert(self._journal, self._direction, self._small[0], self._small[1])

    def _messages(self, data, at, end):
        while at < end:
            if self._message_left:
                n = min(self._message_left, end - at)
                if self._hello is not None:
                    self._collect(data[at : at + min(n, _HELLO_BYTES - len(self._hello))])
                self._message_left -= n
                at += n
            else:
                self._small[self._small_got] = data[at]
                self._small_got += 1
                at += 1
                if self._small_got == 4:
                    self._message()
            if not self._message_left:
                self._hello = None

    def _message(self):
        self._small_got = 0
        kind = self._small[0]
        self._message_left = self._small[1] << 16 | self._small[2] << 8 | self._small[3]
        name = message_name(kind)
        # fmt: off
        self._journal.event(_RECORDS, "message", "direction", self._direction, "message", name,
                            "bytes", self._message_left)
        # fmt: on
        self._hello = bytearray() if kind == _SERVER_HELLO else None

    def _collect(self, data):
        """A piece of the ServerHello."""
        hello = self._hello
        hello.extend(data)
        if tell_hello(self._journal, hello):
            self._hello = None
