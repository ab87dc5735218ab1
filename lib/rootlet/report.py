"""Prints what a connection did, one line a step, in the manner of Mbed TLS's example programs:

      . Loading trust store ............. ok (117 roots, 40.8 kB on flash, 0 in RAM)

Every number is measured. Nothing that a server sent reaches the terminal as a control character.
"""

from micropython import const

from . import forget

_WIDTH = const(33)


class Report:
    """Steps and what became of them. `write` is called with pieces of text; default: `print`."""

    def __init__(self, write=None):
        self._write = write or _print
        self._open = False

    def begin(self, step):
        """Starts the line of `step`; `ok` or `failed` ends it."""
        self._end_line()
        self._write("  . %s %s " % (step, "." * max(3, _WIDTH - len(step))))
        self._open = True

    def ok(self, detail=""):
        self._open = False
        self._write("ok (%s)\n" % detail if detail else "ok\n")

    def failed(self, error):
        """Ends the line, if one was begun, and says cause and remedy of `error`."""
        if self._open:
            self._open = False
            self._write("failed\n")
        cause, remedy = describe(error)
        self._write("  ! %s\n" % printable(cause))
        if remedy:
            self._write("    %s\n" % printable(remedy))

    def note(self, text):
        self._end_line()
        self._write("    %s\n" % text)

    def text(self, data):
        """Prints `data` (bytes that a server sent), indented."""
        self._end_line()
        try:
            text = str(data, "utf-8")
        except UnicodeError:
            text = "".join(chr(c) if c < 0x7F else "?" for c in data)
        for line in text.rstrip().split("\n"):
            self._write("    %s\n" % printable(line))

    def last(self, line):
        """Prints `line` (with its end) as it is, without allocating anything."""
        self._end_line()
        self._write(line)

    def _end_line(self):
        if self._open:
            self._open = False
            self._write("\n")


def _print(text):
    print(text, end="")


def printable(text):
    """`text` without characters that a terminal would act on."""
    for c in text:
        if not _harmless(c):
            return "".join(c if _harmless(c) else "?" for c in text)
    return text


def _harmless(c):
    # No C0, DEL and C1 controls, and nothing that changes the direction of the text after it (Unicode, annex 9).
    n = ord(c)
    if n < 0xA0:
        return 0x20 <= n < 0x7F
    return not (0x200B <= n <= 0x200F or 0x2028 <= n <= 0x202E or 0x2060 <= n <= 0x206F)


def describe(error):
    """(cause, remedy) of any exception, in words."""
    message = getattr(error, "message", None)
    if message is not None:
        return message, error.remedy
    if isinstance(error, MemoryError):
        return "not enough memory: %s" % error, "Free memory, use compiled modules (.mpy), or read less at once"
    if isinstance(error, OSError):
        from errno import errorcode

        return "the system says %s" % errorcode.get(error.errno, error), "Try again; if it stays, restart the board"
    return "unexpected %s: %s" % (type(error).__name__, error), "This is a fault of the program"


def stores(context):
    """What the stores of `context` hold and where: "121 roots, 40.8 kB on flash, 0 in RAM"."""
    count = size = in_ram = 0
    for store in context.stores:
        count += store.count
        if hasattr(store, "size"):
            size += store.size
        else:
            in_ram += store.count  # given as cafile or cadata
    roots = "root" if count == 1 else "roots"
    return "%d %s, %d.%d kB on flash, %d in RAM" % (count, roots, size // 1000, size % 1000 // 100, in_ram)


def handshake(connection):
    """Version, cipher suite and duration of the handshake: "TLS 1.2, TLS-ECDHE-…, 55 ms"."""
    suite, version = connection.cipher()
    if version[:4] == "TLSv":
        version = "TLS " + version[4:]
    elapsed_ms = connection.handshake_ms()
    return "%s, %s%s" % (version, suite, "" if elapsed_ms is None else ", %d ms" % elapsed_ms)


def peer(connection, context, host):
    """Why the server is who it says: "anchor 'ISRG Root X1' from roots.rtlt, name matched, 89 days left".

    An exception here is a fault of the report, not of the connection: it was verified before.
    """
    if context.psk:
        return "it has the pre-shared key"
    from .rules import printable_name

    parts = []
    for name in connection.anchor_names():
        parts.append("anchor '%s'%s" % (printable_name(name), _origin(name, context, host)))
    parts.append("name matched")
    der = connection.peer_certificate()
    if der is not None:
        parts.append(_validity(der))
    forget("rules", "certificate", "der", "times", "store", "anchor", "civil")
    return ", ".join(parts)


def _origin(name, context, host):
    for store in context.stores:
        if store.lookup(name, host):
            path = getattr(store, "path", None)
            return " from " + path[path.rfind("/") + 1 :] if path else ""
    return ""


def _validity(der):
    from .certificate import Certificate
    from .clock import now

    certificate = Certificate(der)
    left_s = certificate.time(certificate.not_after, certificate.subject) - now()
    days = left_s // 86400
    if days:
        return "%d %s left" % (days, "day" if days == 1 else "days")
    return "%d hours left" % (left_s // 3600)


def utc(seconds):
    """`seconds` since 1970 as text: "2026-11-21 03:40:12 UTC"."""
    from .civil import calendar

    return "%d-%02d-%02d %02d:%02d:%02d UTC" % calendar(seconds)
