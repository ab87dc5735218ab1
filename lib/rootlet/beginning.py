"""What has to be right, and made, before a handshake begins. Let go of when it begins."""

import rootlet
import tls

# Every suite of Mbed TLS with forward secrecy and authenticated encryption (RFC 9325, 4.2), without those of national
# ciphers and those with a short tag (CCM-8), is one of these, in the order of Mbed TLS's preference.
_TLS_1_3 = ("CHACHA20-POLY1305-SHA256", "AES-256-GCM-SHA384", "AES-128-GCM-SHA256", "AES-128-CCM-SHA256")
_TLS_1_2 = ("CHACHA20-POLY1305-SHA256", "AES-256-GCM-SHA384", "AES-256-CCM", "AES-128-GCM-SHA256", "AES-128-CCM")


def check(context, server_hostname):
    """The host name in the form in which it is verified. Raises ConfigError, ClockError, EntropyError."""
    if not server_hostname:
        rootlet.settings.refuse("server_hostname is missing", "Say which host the certificate must be for")
    if not context.psk:  # which needs no time, and of random numbers only that they do not come again: RFC 4279
        rootlet.clock.check(context.stores)
        if not rootlet.entropy_is_good:
            rootlet.entropy.check()
            rootlet.entropy_is_good = True  # for this run of the board: it is a start-up test
            if rootlet.entropy.rng == "unknown":  # what an application has set stays
                rootlet.forget("entropy")
    try:
        return rootlet.names.normalise(server_hostname)
    except ValueError as error:
        rootlet.settings.refuse(str(error), "Give the host name as it stands in the certificate")


def tls_context(context, protocol):
    """A fresh tls.SSLContext: anchors are loaded into it during the handshake, so it serves one connection."""
    made = tls.SSLContext(protocol)
    if not hasattr(made, "verify_callback"):
        from rootlet.errors import UnsupportedError
        from rootlet.firmware import complain

        complain(UnsupportedError)
    try:
        made.verify_mode = tls.CERT_REQUIRED
        ciphers = context.ciphers
        if ciphers is None:
            ciphers = _default(made)
        made.set_ciphers(ciphers)
        if context.credentials is not None:
            context.credentials.install(made)
        return made
    except BaseException:
        if hasattr(made, "__del__"):
            made.__del__()  # see Handshake.free
        raise


def _default(tls_context):
    """Names for `tls_context.set_ciphers`: those of the above that this firmware has.

    Which they are is remembered as a number, a bit for each, because the names take up to 1 KB; or as they are, where
    there is memory enough.
    """
    if isinstance(rootlet.suites_here, list):
        return rootlet.suites_here
    names = ["TLS1-3-" + name for name in _TLS_1_3]
    names += ["TLS-ECDHE-%s-WITH-%s" % (key, name) for name in _TLS_1_2 for key in ("ECDSA", "RSA")]
    bits = rootlet.suites_here
    if bits is None:
        available = tls_context.get_ciphers()
        bits = 0
        for i, name in enumerate(names):
            if name in available:
                bits |= 1 << i
    names = [name for i, name in enumerate(names) if bits >> i & 1]
    rootlet.suites_here = bits if rootlet.forgets else names
    return names
