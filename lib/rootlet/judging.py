"""What is said to each certificate of a chain that Mbed TLS has verified. Loaded only then: the chain's signatures were
checked before, which is when Mbed TLS needs the most memory."""

from gc import mem_free

import rootlet
from micropython import const

_REFUSED = const(-0x3000)  # MBEDTLS_ERR_X509_FATAL_ERROR
_MAX_CERTIFICATES = const(16)  # as in flight.py
_MAX_NAME = const(1024)


def judge(handshake, der, depth):
    """What `tls.SSLContext.verify_callback` returns for `handshake`. May raise."""
    if handshake.observer.encrypted:
        _note_issuer(handshake, der)
    if handshake.policy is None:
        handshake.policy = _policy(handshake)
    if handshake.policy.check(der, depth):
        if handshake.loaded:
            handshake.free_bytes = mem_free()
        # With TLS 1.3 the certificates below name issuers, too, and one of those may be trusted. The policy keeps its
        # verdict, so the server's certificate, which comes last, is refused.
        return 0 if depth and handshake.observer.encrypted else _REFUSED
    if depth == 0:
        handshake.policy = None
        rootlet.forget("judging", "policy", "certificate", "der", "names", "addresses", "constraints", "webpki")
        rootlet.forget("store", "anchor")  # of blocked keys
        # A copy, because Mbed TLS drops its own when the handshake is over. Convenient, but not worth failing for.
        try:
            handshake.peer_certificate = bytes(der)
        except MemoryError:
            pass
        handshake.verified = True
    return 0


class _Anchor:
    """A trust anchor as the policy wants to see it."""

    def __init__(self, limits):
        self.exact, self.distrust_after, self.constraints = limits


def _policy(handshake):
    context = handshake.context
    if context.pins is None:
        make = rootlet.policy.ChainPolicy
    else:
        make = context.pins.policy

    # Most stores block none: then nothing has to be loaded, nor any key hashed.
    blocking = [store for store in context.stores if getattr(store, "blocked", True)]

    def is_blocked(spki_digest):
        for store in blocking:
            if store.is_blocked(spki_digest):
                return True
        return False

    anchors = [_Anchor(limits) for limits in handshake.loaded]
    return make(handshake.host, anchors, is_blocked if blocking else None, context.webpki)


def _note_issuer(handshake, der):
    from rootlet.certificate import Certificate

    if len(handshake.issuers) < _MAX_CERTIFICATES:
        certificate = Certificate(der)
        if certificate.issuer_end - certificate.issuer <= _MAX_NAME:
            # The root comes first here, the server in its Certificate message.
            handshake.issuers = (bytes(der[certificate.issuer : certificate.issuer_end]),) + handshake.issuers
