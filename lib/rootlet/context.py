"""The settings of verified connections, and `wrap_socket`, which other libraries call."""

import tls
from time import ticks_add, ticks_ms

_WEAK = ("-CCM-8", "CAMELLIA", "ARIA")


def forward_secret_aead(names):
    """Those of the cipher suite `names` that have forward secrecy and authenticated encryption (RFC 9325, 4.2)."""
    chosen = []
    for name in names:
        if name.startswith("TLS1-3-") or (
            "-ECDHE-" in name and ("-GCM-" in name or "-CCM" in name or "CHACHA20" in name)
        ):
            for weak in _WEAK:
                if weak in name:
                    break
            else:
                if "PSK" not in name:
                    chosen.append(name)
    return chosen


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
      timeout_ms of a handshake made by `wrap_socket`
      trace      a trace.Trace that is told what happens; see docs/trace.md

    Raises TrustStoreError, ConfigError, UnsupportedError. There is no way to turn verification off.
    """

    _entropy_is_good = False
    credentials = None  # what the board shows of itself: Identity or PreSharedKey
    psk = False
    pins = trace = None

    def __init__(
        self,
        store=None,
        stores=None,
        cafile=None,
        cadata=None,
        ciphers=None,
        policy="default",
        timeout_ms=10_000,
        client_cert=None,
        client_key=None,
        ecdsa_sign=None,
        psk=None,
        pins=None,
        allow_single=False,
        trace=None,
    ):
        self.timeout_ms = timeout_ms
        self.webpki = policy == "webpki"
        if policy not in ("default", "webpki"):
            self._refuse("no policy is called %s" % policy, 'Use "default" or "webpki"')
        if self.webpki:
            from .webpki import check  # noqa: F401 - where it is not installed, this says so before anything is sent
        self.stores = _stores(store) + _stores(stores)
        if cafile is not None:
            with open(cafile, "rb") as file:
                cadata = file.read() + (cadata or b"")
        if cadata is not None:
            from .cadata import CertificateStore

            self.stores.append(CertificateStore(cadata, self.webpki))
        if client_cert is not None or client_key is not None:
            from .identity import Identity

            self.credentials = Identity(client_cert, client_key, ecdsa_sign)
        if psk is not None:
            if self.stores or self.credentials or pins is not None:
                self._refuse("psk and certificates exclude each other", "Make a Context for each")
            from .psk import PreSharedKey

            self.psk = True
            self.credentials = PreSharedKey(*psk)
        elif not self.stores:
            self._refuse("there is nothing to trust", "Pass store=, cafile= or cadata=")
        if pins is not None:
            from .pins import Pins

            self.pins = Pins(pins, allow_single)
        if trace is not None and trace.level:
            self.trace = trace
        self._ciphers = ciphers
        if ciphers is not None:
            self._check_ciphers(ciphers)
        elif self.psk:
            self._ciphers = self.credentials.ciphers
        self._issuers = {}  # host -> issuer Names, for firmware that hides the Certificate message

    def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True, server_hostname=None):
        """TLS on the connected `sock`: a Connection. Call-compatible with ssl.SSLContext.

        `sock` belongs to the connection from here on: it is closed with it, and when the handshake fails.
        Raises a TLSError.
        """
        from .connection import Connection

        deadline_ms = ticks_add(ticks_ms(), self.timeout_ms) if do_handshake_on_connect else None
        try:
            if server_side:
                self._refuse("rootlet connects to servers, it is none", "Use module tls for a server")
            handshake = self.handshake(sock, server_hostname, deadline_ms)
        except BaseException:
            sock.close()
            raise
        return Connection(handshake)

    def handshake(self, sock, server_hostname, deadline_ms, kind=None):
        """A Handshake (or a `kind` of it) that is ready to run. Refuses without host name, clock, entropy or a usable
        store."""
        if self.trace is not None and kind is None:
            return self.trace.handshake(self, sock, server_hostname, deadline_ms)
        if not Context._entropy_is_good:
            from gc import collect

            collect()  # modules live long: without garbage between them the heap keeps room for Mbed TLS's 17 KB buffer
        from .handshake import Handshake

        if not server_hostname:
            self._refuse("server_hostname is missing", "Say which host the certificate must be for")
        if not self.psk:  # which needs no time, and of random numbers only that they do not come again: RFC 4279
            self._pass_gates()
        try:
            return (kind or Handshake)(self, sock, server_hostname, deadline_ms)
        except ValueError as error:
            self._refuse(str(error), "Give the host name as it stands in the certificate")

    def issuers(self, host):
        """Issuer Names (DER) that a handshake with `host` saw too late to load their anchors."""
        return self._issuers.get(host, ())

    def remember(self, host, issuers):
        """Keeps the `issuers` of a chain that a handshake saw too late."""
        if host not in self._issuers and len(self._issuers) == 8:
            self._issuers.pop(next(iter(self._issuers)))
        self._issuers[host] = issuers

    def tls_context(self, protocol=tls.PROTOCOL_TLS_CLIENT):
        """A fresh tls.SSLContext: anchors are loaded into it during the handshake, so it serves one connection."""
        context = tls.SSLContext(protocol)
        if not hasattr(context, "verify_callback"):
            from .errors import UnsupportedError
            from .firmware import complain

            complain(UnsupportedError)
        context.verify_mode = tls.CERT_REQUIRED
        if self._ciphers is None:
            self._ciphers = forward_secret_aead(context.get_ciphers())
        context.set_ciphers(self._ciphers)
        if self.credentials is not None:
            self.credentials.install(context)
        return context

    def is_blocked(self, spki_digest):
        """Whether one of the stores blocks the key with this SHA-256 of its SubjectPublicKeyInfo."""
        for store in self.stores:
            if store.is_blocked(spki_digest):
                return True
        return False

    def _pass_gates(self):
        from .clock import check

        check(self.stores)
        if not Context._entropy_is_good:
            from .entropy import check

            check()
            Context._entropy_is_good = True  # for this run of the board: it is a start-up test

    def _check_ciphers(self, ciphers):
        if isinstance(ciphers, str) or not ciphers:
            self._refuse("ciphers must be a list of cipher suite names", "Leave it out for the safe default")
        available = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).get_ciphers()
        for name in ciphers:
            if name not in available:
                self._refuse("this firmware has no cipher suite %s" % name, "It has " + ", ".join(available))
        if self.psk:
            self.credentials.check_ciphers(ciphers)

    @staticmethod
    def _refuse(message, remedy):
        from .errors import ConfigError

        raise ConfigError(message, remedy)


def _stores(given):
    """`given` (None, a path, a store, or a list of paths and stores) as a list of stores."""
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        given = (given,)
    opened = []
    for store in given:
        if isinstance(store, str):
            from .store import current

            store = current(store)
        opened.append(store)
    return opened
