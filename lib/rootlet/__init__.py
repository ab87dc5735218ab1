"""Verified TLS for MicroPython. See README.md.

import rootlet
ctx = rootlet.Context(store="/certs/roots.rtlt")
with rootlet.connect("example.org", 443, context=ctx) as c:
    c.write(b"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n")
    print(c.read())

This module is what stays in memory between connections. Everything else is loaded when it is needed, and in firmware or
where memory is short let go of when it is not.
"""

__version__ = "0.1.0"

import gc
import sys
import time

try:
    from hashlib import sha256
    from tls import CERT_REQUIRED  # axTLS has none, and verifies nothing

    if sys.implementation.version < (1, 24):
        raise ImportError
    del sha256, CERT_REQUIRED
except (ImportError, AttributeError):
    from rootlet.firmware import complain

    complain()

# Modules that were needed for a moment are let go of in firmware (frozen), where to load them again takes no file and
# next to no time, and as .mpy files where the heap is small: below 256 KB. To compile sources again would take more
# memory than they do.
_small = forgets = False
if sys.implementation.name == "micropython":
    _small = gc.mem_alloc() + gc.mem_free() < 262144
    forgets = __path__[:8] == ".frozen/" or _small and __file__[-4:] == ".mpy"

# Its modules as attributes: `__getattr__` loads the one that is not there. An import statement does the same, but takes
# 10,000 instructions and more to find out that nothing has to be loaded.
_package = sys.modules[__name__]

# Names that have their home in a module, which is loaded when they are asked for.
_HOME = {"open_connection": "aio", "upgrade": "starttls", "Connection": "connection"}

# What is found out once in a run of the board.
entropy_is_good = False
suites_here = None  # of beginning.py: which cipher suites this firmware has
remembered_s = 0  # of timekeeping.py: the time last written to flash


def __getattr__(name):
    if name[:1] == "_":
        raise AttributeError(name)
    home = _HOME.get(name) or ("errors" if name[-5:] == "Error" else name)
    try:
        value = __import__("rootlet." + home, None, None, (name,))
    except ImportError as error:
        if home != name:
            raise  # which module is missing, of the board or of rootlet
        raise AttributeError(str(error))
    if home != name:
        value = getattr(value, name)
    globals()[name] = value
    return value


def forget(*names):
    """Lets go of these modules of the package, unless memory is plenty. Whoever holds something of theirs keeps it, and
    the next import loads them anew: so no module that remembers anything may be named here.

    In a small heap also collects garbage. Without names that is all it does: before something is made that stays, so
    that it comes to lie beside what is there already, and Mbed TLS finds room in one piece.
    """
    if forgets:
        for name in names:
            sys.modules.pop("rootlet." + name, None)
            globals().pop(name, None)
    if _small:
        gc.collect()


class Context:
    """What a connection trusts and how it is made. One context serves any number of connections.

    Trust, at least one of:
      store      path of a trust store, a TrustStore, or a list of these
      stores     the same, for those who find the plural clearer
      cafile     path of CA certificates, PEM or DER, one or many
      cadata     the same as bytes
    or instead, without any certificates:
      psk        (identity, key): a pre-shared key, where the firmware can
    What the board shows of itself to a server that asks:
      client_cert, client_key   path or bytes, PEM or DER, EC or RSA; the key is not encrypted
      ecdsa_sign                signs in a secure element, where the firmware can: see identity.Identity
    Further:
      ciphers    list of Mbed TLS cipher suite names; default: forward-secret AEAD suites only
      policy     "default", or "webpki" for the CA/Browser Forum's stricter rules
      pins       list of "sha256//…": besides all that, one key of the chain must be among these; see docs/pins.md
      allow_single   take a single pin, without a backup
      timeout_ms of a handshake made by `wrap_socket`; default: 10,000
      trace      a trace.Trace that is told what happens; see docs/trace.md

    Raises TrustStoreError, ConfigError, UnsupportedError. There is no way to turn verification off.
    """

    # The application keeps its Context, so what stays of it is small: settings.py reads the arguments, handshake.py
    # uses them, and neither stays. Here are the values of what is rarely set.
    credentials = None  # what the board shows of itself: Identity or PreSharedKey
    psk = webpki = False
    ciphers = pins = trace = None

    def __init__(self, *stores, **settings):
        from rootlet.settings import apply

        apply(self, *stores, **settings)
        forget("settings", "opening", "store", "anchor", "civil")
        forget("cadata", "pem", "certificate", "der", "times", "firmware")

    def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True, server_hostname=None):
        """TLS on the connected `sock`: a Connection. Call-compatible with ssl.SSLContext.

        `sock` belongs to the connection from here on: it is closed with it, and when the handshake fails.
        Raises a TLSError.
        """
        deadline_ms = time.ticks_add(time.ticks_ms(), self.timeout_ms) if do_handshake_on_connect else None
        try:
            if server_side:
                from rootlet.settings import refuse

                refuse("rootlet connects to servers, it is none", "Use module tls for a server")
            handshake = self.handshake(sock, server_hostname, deadline_ms)
        except BaseException:
            sock.close()
            raise
        return handshake.connect()

    def handshake(self, sock, server_hostname, deadline_ms, kind=None):
        """A Handshake (or a `kind` of it) that is ready to run. Refuses without host name, clock, entropy or a usable
        store."""
        if self.trace is not None and kind is None:
            return self.trace.handshake(self, sock, server_hostname, deadline_ms)
        try:
            host = _package.beginning.check(self, server_hostname)
            forget("settings", "clock", "names", "addresses", "dial")
            return (kind or _package.handshake.Handshake)(self, sock, host, deadline_ms)
        except Exception as error:
            from rootlet.diagnosis import from_beginning

            raise from_beginning(error, server_hostname)


class TrustStore:
    """A trust store file that was found whole.

    Attributes: `path`, `head` (the file's first 64 bytes), `size` (bytes; the file may be longer, see slots.py),
    `signed` (an envelope is there; whether it is genuine is another question), `issued_at` and `not_used_after`
    (seconds since 1970; 0: no limit); `blocked` (how many keys it blocks); `count` (anchors), `sequence`, `digest`
    (SHA-256, 32 bytes).
    Methods: `lookup`, `is_blocked`, `layout`, `publisher`, `envelope`, as the functions in store.py.

    Raises TrustStoreMissingError when there is no such file, TrustStoreDamagedError when one bit of
    it is not as it was built. `magic` is for slots.py only.
    """

    # A hostile chain must not make the board load more anchors of one name than this.
    MAX_ANCHORS_PER_NAME = 4

    # What a file in a slot begins with until it has been accepted: see slots.py.
    MAGIC = b"RTLT"
    PENDING = b"RTL-"

    signed = False
    not_used_after = blocked = 0
    origin = None  # the path that a Context was given: there it looks for the store in force when this one is replaced

    def __init__(self, path, magic=MAGIC):
        from rootlet.opening import check

        self.path = path
        check(self, magic)

    def lookup(self, name, host=None, digest=None):
        """Anchors whose subject is `name` (DER of a Name) and that may sign for `host`: a list of anchor.Anchor."""
        return _package.store.lookup(self, name, host, digest)

    def __getattr__(self, name):
        if name == "issued_at":  # the clock asks before every handshake: nothing shall be loaded for it
            head = self.head
            return head[12] | head[13] << 8 | head[14] << 16 | head[15] << 24
        return _package.store.attribute(self, name)


def connect(host, port, context, server_hostname=None, address=None, timeout_ms=10_000, transport=None):
    """Connects to `host` and returns a Connection whose server is verified.

    `address` is where to dial (default: `host`), `server_hostname` the name to verify (default: `host`).
    `timeout_ms` limits everything up to the end of the handshake together, and later each single wait.
    `transport` is an object with `connect(host, port, timeout_ms)` such as a modem; default: sockets.

    Raises ConfigError, ResolveError, ConnectError, DeadlineError, ClockError, EntropyError, TrustStoreError,
    CertificateError and its kinds, HandshakeError and its kinds: all of them TLSError. Nothing is left open then.
    """
    if context.trace is not None:
        return context.trace.connect(connect, host, port, context, server_hostname, address, timeout_ms, transport)
    try:
        deadline_ms = time.ticks_add(time.ticks_ms(), timeout_ms)
    except (TypeError, OverflowError):
        _package.settings.refuse_time(timeout_ms)
    again = False
    while True:
        sock = _package.dial.dial(address or host, port, deadline_ms, transport)
        try:
            handshake = context.handshake(sock, server_hostname or host, deadline_ms)
        except BaseException:
            sock.close()
            raise
        try:
            connection = handshake.connect()
            connection.settimeout(timeout_ms / 1000)
            return connection
        except Exception as error:
            # With TLS 1.3 the issuers are known only when it is too late to load their anchors: once more, with them.
            if again or not handshake.retry:
                raise error
            again = True
