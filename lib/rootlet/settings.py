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
        refuse_time(timeout_ms)
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
        from rootlet.firmware import check_ciphers

        check_ciphers(ciphers)
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


def deadline(timeout_ms):
    """The value of `ticks_ms` in `timeout_ms`. Raises ConfigError."""
    from time import ticks_add, ticks_ms

    try:
        return ticks_add(ticks_ms(), timeout_ms)
    except (TypeError, OverflowError):
        refuse_time(timeout_ms)


def refuse_time(timeout_ms):
    """Raises the ConfigError for a time that `ticks_add` does not take."""
    refuse("timeout_ms is %r" % (timeout_ms,), "Give a whole number of milliseconds, at most six days")


def refuse(message, remedy):
    from rootlet.errors import ConfigError

    raise ConfigError(message, remedy)
