"""One handshake: puts store, observer, policy and Mbed TLS together, and takes them apart again."""

from gc import collect, mem_free
from hashlib import sha256
from time import ticks_diff, ticks_ms
from tls import PROTOCOL_TLS_CLIENT

from micropython import const

from .names import normalise
from .observer import HandshakeObserver

_REFUSED = const(-0x3000)  # MBEDTLS_ERR_X509_FATAL_ERROR


class AnchorLoader:
    """Finds the trust anchors of the issuers that the observer sees, and loads them into a running handshake.

    `loaded`: the Anchor objects in the order of loading, which is also the serial number of the certificate that
    was made from each; `names`: their subjects (DER), each once. `missing`: the last issuer Name that no store has, or
    None.
    """

    MAX_ANCHORS = 4

    def __init__(self, stores, host, tls_context):
        self._stores = stores
        self._host = host
        self._tls_context = tls_context
        self.names = []
        self.loaded = []
        self.missing = None

    def load(self, name):
        """Loads every anchor whose subject is `name` (DER, bytes), at most MAX_ANCHORS in all."""
        if name in self.names:
            return
        found = False
        digest = sha256(name).digest()
        for store in self._stores:
            for anchor in store.lookup(name, self._host, digest):
                if len(self.loaded) == self.MAX_ANCHORS:
                    return
                self._tls_context.load_verify_locations(anchor.certificate(name, len(self.loaded)))
                self.loaded.append(anchor)
                found = True
        if found:
            self.names.append(name)
        else:
            self.missing = name


class Handshake:
    """`run()` performs it over `sock` and returns Mbed TLS's socket.

    `deadline_ms`: value of `ticks_ms`, or None to return at once with the handshake still to be done, by reads and
    writes; `over` says whether it is. `issuers`: Names that were seen in the certificates while they were verified;
    only collected when the observer could not see them, and `retry` is then true after a failure that another attempt
    may mend.
    """

    # What DTLS has others for: module dtls.
    PROTOCOL = PROTOCOL_TLS_CLIENT
    Observer = HandshakeObserver

    over = retry = False

    def __init__(self, context, sock, server_hostname, deadline_ms):
        host = normalise(server_hostname)
        self.host = host
        self._sock = sock
        self._context = context
        self._tls_context = context.tls_context(self.PROTOCOL)
        self.loader = AnchorLoader(context.stores, host, self._tls_context)
        self.anchor_names = self.loader.names
        self.policy = None  # from the first certificate that Mbed TLS hands over
        self.credentials = context.credentials
        self.observer = self.Observer(sock, None if context.psk else self.loader.load, deadline_ms)
        self._deadline_ms = deadline_ms
        self.issuers = []
        self.free_bytes = None  # of the Python heap, when a chain was refused although its anchor was there
        self.peer_certificate = None
        self.elapsed_ms = None  # how long `run` took
        self._tls_context.verify_callback = self._verify
        self._issuers_known = context.issuers(host)
        for name in self._issuers_known:
            self.loader.load(name)

    def run(self):
        try:
            wait = self._deadline_ms is not None
            began_ms = ticks_ms()
            if wait:
                self._sock.setblocking(False)
            collect()  # where Mbed TLS's buffers lie in this heap, they must find a hole of 17 KB
            stream = self._tls_context.wrap_socket(
                self.observer, server_hostname=self.host, do_handshake_on_connect=wait
            )
            if wait:
                self.elapsed_ms = ticks_diff(ticks_ms(), began_ms)
                self.established()
                self._sock.setblocking(True)
            return stream
        except BaseException as error:
            raise self.fail(error)

    def established(self):
        """To be called when the handshake is over: lets go of everything that only it needed."""
        self.over = True
        self.observer.established()
        self._tls_context.verify_callback = None
        self._tls_context = self._context = self.policy = self.loader = None

    def fail(self, error):
        """Closes the transport, frees Mbed TLS's memory and returns the exception to raise for `error`."""
        self._sock.close()
        if self.issuers and self._context is not None:
            # News for this attempt are worth another: servers change their CA, and handshakes run side by side.
            self.retry = self.issuers != self._issuers_known
            self._context.remember(self.host, self.issuers)
        self.free()
        collect()  # before the texts are imported
        from .diagnosis import from_handshake

        return from_handshake(error, self, self.host)

    def free(self):
        """Frees Mbed TLS's memory. What was using it must be closed."""
        if self._tls_context is not None:
            self._tls_context.verify_callback = None
            if hasattr(self._tls_context, "__del__"):
                # It lies outside the Python heap on most ports, where the garbage collector does not see it grow.
                # Freeing twice does nothing.
                self._tls_context.__del__()

    def _verify(self, der, depth):
        # Never raises: the exception would jump over Mbed TLS's clean-up. A refusal must be negative: when the
        # handshake goes on inside a read, MicroPython takes a positive result for a number of bytes that were read.
        try:
            if self.observer.encrypted:
                self._note_issuer(der)
            if self.policy is None:
                self._load_policy()
            if self.policy.check(der, depth):
                if self.loader.loaded:
                    self.free_bytes = mem_free()
                return _REFUSED
            if depth == 0:
                self._keep_peer_certificate(der)
            return 0
        except BaseException as error:
            self.observer.error = error
            return _REFUSED

    def _load_policy(self):
        # Only now: the chain's signatures have been checked, which is when Mbed TLS needs the most memory.
        context = self._context
        if context.pins is None:
            from .policy import ChainPolicy as policy
        else:
            policy = context.pins.policy
        self.policy = policy(self.host, self.loader.loaded, context.is_blocked, context.webpki)

    def _note_issuer(self, der):
        from .certificate import Certificate

        if len(self.issuers) < self.observer.MAX_CERTIFICATES:
            certificate = Certificate(der)
            if certificate.issuer_end - certificate.issuer <= self.observer.MAX_NAME:  # the Context keeps them
                self.issuers.append(bytes(der[certificate.issuer : certificate.issuer_end]))

    def _keep_peer_certificate(self, der):
        # A copy, because Mbed TLS drops its own when the handshake is over. Convenient, but not worth failing for.
        try:
            self.peer_certificate = bytes(der)
        except MemoryError:
            pass
