"""What the arguments of a Context mean. Let go of when the Context is made."""

from micropython import const

_TICKS = const(1 << 29)  # what ticks_add takes on boards: six days


def apply(
    context,
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
    """Sets the attributes of `context` by the arguments that Context describes. Raises as Context does."""
    if not isinstance(timeout_ms, int) or not 0 <= timeout_ms < _TICKS:
        refuse("timeout_ms is %r" % (timeout_ms,), "Give milliseconds")
    context.timeout_ms = timeout_ms
    context.late_issuers = {}
    if policy == "webpki":
        from rootlet.webpki import check  # noqa: F401 - where it is not installed, this says so before anything is sent

        context.webpki = True
    elif policy != "default":
        refuse("no policy is called %s" % policy, 'Use "default" or "webpki"')
    context.stores = _stores(store) + _stores(stores)
    if cadata is not None or cafile is not None:
        from rootlet.cadata import CertificateStore, content

        context.stores.append(CertificateStore(content(cafile, cadata), context.webpki))
    if client_cert is not None or client_key is not None:
        from rootlet.identity import Identity

        context.credentials = Identity(client_cert, client_key, ecdsa_sign)
    if psk is not None:
        if context.stores or context.credentials or pins is not None:
            refuse("psk and certificates exclude each other", "Make a Context for each")
        from rootlet.psk import PreSharedKey

        context.psk = True
        context.credentials = PreSharedKey(*psk if isinstance(psk, (tuple, list)) and len(psk) == 2 else (psk, None))
    elif not context.stores:
        refuse("there is nothing to trust", "Pass store=, cafile= or cadata=")
    if pins is not None:
        from rootlet.pins import Pins

        context.pins = Pins(pins, allow_single)
    if trace is not None and trace.level:
        context.trace = trace
    if ciphers is not None:
        _check_ciphers(ciphers)
        if psk is not None:
            context.credentials.check_ciphers(ciphers)
        context.ciphers = ciphers
    elif psk is not None:
        context.ciphers = context.credentials.ciphers


def _stores(given):
    """`given` (None, a path, a store, or a list of paths and stores) as a list of stores."""
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        given = (given,)
    opened = []
    for store in given:
        if isinstance(store, str):
            from rootlet.opening import current

            origin = store
            store = current(origin)
            store.origin = origin
        elif not hasattr(store, "lookup"):
            refuse("a %s is no trust store" % type(store).__name__, "Pass a path or a TrustStore")
        opened.append(store)
    return opened


def _check_ciphers(ciphers):
    """Raises ConfigError unless `ciphers` are names of suites that this firmware has."""
    import tls

    if not isinstance(ciphers, (list, tuple)) or not ciphers:
        refuse("ciphers must be a list of cipher suite names", "Leave it out for the safe default")
    available = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).get_ciphers()
    for name in ciphers:
        if name not in available:
            refuse("this firmware has no cipher suite %s" % name, "It has " + ", ".join(available))


def refuse(message, remedy):
    from rootlet.errors import ConfigError

    raise ConfigError(message, remedy)
