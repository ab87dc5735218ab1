"""Verified TLS for MicroPython. See README.md.

    import rootlet
    ctx = rootlet.Context(store="/certs/roots.rtlt")
    with rootlet.connect("example.org", 443, context=ctx) as c:
        c.write(b"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n")
        print(c.read())
"""

__version__ = "0.1.0"

try:
    import tls as _tls

    _tls.SSLContext, _tls.CERT_REQUIRED
except (ImportError, AttributeError):
    raise ImportError("rootlet: this firmware has no usable module tls; it takes MicroPython 1.24 or later with Mbed TLS")

# Modules are loaded when they are first used: each costs RAM.
_HOME = {
    "Context": "context",
    "connect": "connection",
    "Connection": "connection",
    "TrustStore": "store",
}


def __getattr__(name):
    module = _HOME.get(name)
    if module is None:
        if name[:1] == "_" or not name.endswith("Error"):
            raise AttributeError(name)
        module = "errors"
    value = getattr(__import__("rootlet." + module, None, None, (name,)), name)
    globals()[name] = value
    return value
