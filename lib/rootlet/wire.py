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
# RFC 8446, 6.2 and RFC 5246, 7.2. One string takes half the room of a table of strings.
_ALERTS = (
    const(" 0=close_notify 10=unexpected_message 20=bad_record_mac 22=record_overflow 40=handshake_failure"
    " 42=bad_certificate 43=unsupported_certificate 44=certificate_revoked 45=certificate_expired"
    " 46=certificate_unknown 47=illegal_parameter 48=unknown_ca 49=access_denied 50=decode_error 51=decrypt_error"
    " 70=protocol_version 71=insufficient_security 80=internal_error 86=inappropriate_fallback 90=user_canceled"
    " 100=no_renegotiation 109=missing_extension 110=unsupported_extension 112=unrecognized_name"
    " 113=bad_certificate_status_response 115=unknown_psk_identity 116=certificate_required"
    " 120=no_application_protocol ")
)

_CHANGE_CIPHER_SPEC = const(20)
_ALERT = const(21)
_HANDSHAKE = const(22)
_SERVER_HELLO = const(2)
_HELLO_BYTES = const(71)  # up to the cipher suite, with the longest session identifier: RFC 5246, 7.4.1.3
_PHASES = const(1)  # levels, as in trace.py
_RECORDS = const(3)


def alert_name(number):
    at = _ALERTS.find(" %d=" % number)
    if at < 0:
        return "number %d" % number
    return _ALERTS[_ALERTS.find("=", at) + 1 : _ALERTS.find(" ", at + 1)]


class Records:
    """The records of one direction ("in" or "out"), fed in whatever pieces they come. Tells `journal`."""

    def __init__(self, journal, direction):
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
        name = _TYPES.get(kind) or "type %d" % kind
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
                level = "fatal" if self._small[0] == 2 else "warning"
                name = alert_name(self._small[1])
                self._journal.event(_PHASES, "alert", "direction", self._direction, "alert", name, "severity", level)

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
        name = _MESSAGES.get(kind) or "type %d" % kind
        # fmt: off
        self._journal.event(_RECORDS, "message", "direction", self._direction, "message", name,
                            "bytes", self._message_left)
        # fmt: on
        self._hello = bytearray() if kind == _SERVER_HELLO else None

    def _collect(self, data):
        """A piece of the ServerHello."""
        hello = self._hello
        hello.extend(data)
        if len(hello) < 35:
            return
        at = 35 + hello[34]
        if len(hello) >= at + 2:
            version = "0x%02x%02x" % (hello[0], hello[1])
            suite = "0x%02x%02x" % (hello[at], hello[at + 1])
            self._journal.event(_PHASES, "server_hello", "legacy_version", version, "suite", suite)
            self._hello = None
