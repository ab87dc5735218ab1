"""Traces of DTLS. Imported by trace.py for a connection that is one."""

from micropython import const

from .dtls import DatagramHandshake
from .dtls_observer import DatagramObserver
from .trace import PHASES, RECORDS, traced, watching
from .wire import Offered, message_name, tell_alert, tell_hello, type_name

# As in dtls_flight.py.
_ALERT = const(21)
_HANDSHAKE = const(22)
_RECORD_HEADER = const(13)
_MESSAGE_HEADER = const(12)
_SERVER_HELLO = const(2)


class _Offering(DatagramObserver):
    def take_certificates(self, message):
        self.offered.feed(message, 0, len(message))
        super().take_certificates(message)


def _datagrams(observer):
    journal = observer.journal
    observer.offered = Offered(journal)
    return lambda data: tell(journal, "in", data), lambda data: tell(journal, "out", data)


TracedDatagramObserver = watching(_Offering, _datagrams)
TracedDatagramHandshake = traced(DatagramHandshake, TracedDatagramObserver)


def tell(journal, direction, data):
    """Notes what is in a datagram: records, messages in clear, alerts (RFC 6347, 4.1 and 4.2.2). Raises nothing."""
    try:
        at = 0
        while at + _RECORD_HEADER <= len(data):
            kind = data[at]
            start = at + _RECORD_HEADER
            size = data[start - 2] << 8 | data[start - 1]
            journal.event(RECORDS, "record", "direction", direction, "type", type_name(kind), "bytes", size)
            clear = not (data[at + 3] or data[at + 4])  # epoch
            at = start + size
            if kind == _ALERT:
                if clear and size == 2:
                    tell_alert(journal, direction, data[start], data[start + 1])
                else:
                    journal.event(PHASES, "alert", "direction", direction, "alert", "encrypted")
            while kind == _HANDSHAKE and clear and start + _MESSAGE_HEADER <= min(at, len(data)):
                n = data[start + 9] << 16 | data[start + 10] << 8 | data[start + 11]
                if not (data[start + 6] or data[start + 7] or data[start + 8]):  # the first fragment
                    size = data[start + 1] << 16 | data[start + 2] << 8 | data[start + 3]
                    name = message_name(data[start])
                    journal.event(RECORDS, "message", "direction", direction, "message", name, "bytes", size)
                    if data[start] == _SERVER_HELLO:
                        begin = start + _MESSAGE_HEADER
                        tell_hello(journal, bytes(data[begin : min(begin + n, at)]))
                start += _MESSAGE_HEADER + n
    except Exception:
        journal.event(RECORDS, "record", "direction", direction, "type", "?")
