"""One handshake: puts store, observer, policy and Mbed TLS together, and takes them apart again.

While Mbed TLS checks the server's chain it needs the most memory. So what is needed for a moment only is loaded as late
and let go of as soon as possible: beginning.py before that, what finds anchors, too, and judging.py after it.
"""

from gc import collect
from hashlib import sha256
from time import ticks_diff, ticks_ms

import rootlet
from micropython import const
from tls import PROTOCOL_TLS_CLIENT
from rootlet.observer import HandshakeObserver

_REFUSED = const(-0x3000)  # MBEDTLS_ERR_X509_FATAL_ERROR
_UNSEEN = const(-0x2700)  # MBEDTLS_ERR_X509_CERT_VERIFY_FAILED
_MAX_ANCHORS = const(4)


class Handshake:
    """`connect()` performs it over `sock` and returns a Connection.

    `deadline_ms`: value of `ticks_ms`, or None to return at once with the handshake still to be done, by reads and
    writes; `over` says whether it is. `verified`: the server's chain was accepted, or there is none to be (psk).
    `loaded`: of each trust anchor that was loaded (exact, distrust_after, constraints), see anchor.Anchor; its place is
    also the serial number of the certificate that was made from it. `anchor_names`: their subjects (DER), each once.
    `missing`: the last issuer Name, if no store has any of them.
    `issuers`: Names that were seen in the certificates while they were verified; only collected when the observer could
    not see them, and `retry` is then true after a failure that another attempt may mend.
    """

    # What DTLS has others for: module dtls.
    PROTOCOL = PROTOCOL_TLS_CLIENT
    Observer = HandshakeObserver

    over = retry = False
    policy = None  # while Mbed TLS hands over the certificates
    free_bytes = None  # of the Python heap, when a chain was refused although its anchor was there
    issuers = ()
    missing = peer_certificate = None
    elapsed_ms = None  # how long `run` took

    def __init__(self, context, sock, host, deadline_ms):
        self.host = host
        self.context = context
        self.verified = context.psk
        self.loaded = []
        self.anchor_names = []
        self._sock = sock
        self._deadline_ms = deadline_ms
        self.tls_context = rootlet.beginning.tls_context(context, self.PROTOCOL)  # type: ignore[attr-defined]
        self.tls_context.verify_callback = self._verify
        try:
            if __file__[-3:] == ".py":
                rootlet.forget()  # in firmware; as a file `beginning` is still there, and would be a gap later
            self.observer = self.Observer(sock, None if context.psk else self._load, deadline_ms)
        except BaseException:
            self.free()
            raise
        self._issuers_known = context.late_issuers.get(host, ())
        rootlet.forget("beginning")

    def _load(self, name):
        """Loads every anchor whose subject is `name` (DER, bytes) into the running handshake, at most four in all."""
        if name in self.anchor_names:
            return
        digest = sha256(name).digest()
        for store in self.context.stores:
            for anchor in store.lookup(name, self.host, digest):
                if len(self.loaded) == _MAX_ANCHORS:
                    return
                certificate = anchor.certificate(name, len(self.loaded))
                rootlet.forget()  # what Mbed TLS makes of it stays
                self.tls_context.load_verify_locations(certificate)
                certificate = None
                self.loaded.append((anchor.exact, anchor.distrust_after, anchor.constraints))
                if name not in self.anchor_names:
                    self.anchor_names.append(name)
        self.missing = None if self.loaded else name

    def connect(self):
        """Raises a TLSError; the transport is closed then."""
        return self._connection(self.run())

    def _connection(self, stream):
        # A function of its own, because `connect` is waiting during the handshake: with this its frame would be in the
        # heap.
        try:
            return rootlet.connection.Connection(self, stream)
        except BaseException as error:  # there may be no memory left for it
            stream.close()
            raise self.fail(error)

    def run(self):
        """Performs the handshake, or begins it, and returns Mbed TLS's socket."""
        try:
            try:
                if self._issuers_known:
                    for name in self._issuers_known:
                        self._load(name)
                    rootlet.forget("store", "anchor", "civil")
            except BaseException as error:
                self.observer.error = error  # as if it had been loaded by the observer
                raise
            wait = self._deadline_ms is not None
            began_ms = ticks_ms()
            if wait:
                self._set_blocking(False)
            rootlet.forget()  # what follows is large, and stays
            stream = self.tls_context.wrap_socket(
                self.observer, server_hostname=self.host, do_handshake_on_connect=wait
            )
            if wait:
                if not self.verified:  # whatever Mbed TLS thinks of it
                    stream.close()
                    raise OSError(_UNSEEN)
                self.elapsed_ms = ticks_diff(ticks_ms(), began_ms)
                self._set_blocking(True)
                self.established()
            return stream
        except BaseException as error:
            raise self.fail(error)

    def _set_blocking(self, flag):
        try:
            self._sock.setblocking(flag)
        except BaseException as error:
            self.observer.error = error  # the transport's, not Mbed TLS's
            raise

    def established(self):
        """To be called when the handshake is over: lets go of everything that only it needed."""
        self.over = True
        self.observer.established()
        self.tls_context.verify_callback = None
        self.tls_context = self.context = self.policy = None
        rootlet.forget("handshake", "flight")

    def fail(self, error):
        """Closes the transport, frees Mbed TLS's memory and returns the exception to raise for `error`."""
        try:
            self._sock.close()
        except Exception:
            pass  # what went wrong first is what counts
        self.free()
        collect()  # before anything is imported
        from rootlet.diagnosis import from_handshake

        return from_handshake(error, self, self.host)

    def free(self):
        """Frees Mbed TLS's memory. What was using it must be closed."""
        if self.tls_context is not None:
            self.tls_context.verify_callback = None
            if hasattr(self.tls_context, "__del__"):
                # It lies outside the Python heap on most ports, where the garbage collector does not see it grow.
                # Freeing twice does nothing.
                self.tls_context.__del__()

    def _verify(self, der, depth):
        # Never raises: the exception would jump over Mbed TLS's clean-up. A refusal must be negative: when the
        # handshake goes on inside a read, MicroPython takes a positive result for a number of bytes that were read.
        try:
            return rootlet.judging.judge(self, der, depth)  # type: ignore[attr-defined]
        except BaseException as error:
            self.observer.error = error
            return _REFUSED
