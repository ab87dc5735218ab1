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
    raise ImportError(
        "rootlet: this firmware has no usable module tls; it takes MicroPython 1.24 or later with Mbed TLS"
    )

# Modules are loaded when they are first used: each costs RAM.
_HOME = {
    "Context": "context",
    "connect": "connection",
    "open_connection": "aio",
    "upgrade": "starttls",
    "Connection": "connection",
    "TrustStore": "store",
}


def __getattr__(name):
    if name[:1] == "_":
        raise AttributeError(name)
    module = _HOME.get(name) or ("errors" if name.endswith("Error") else name)
    try:
        value = __import__("rootlet." + module, None, None, (name,))
    except ImportError:
        raise AttributeError(name)
    if module != name:
        value = getattr(value, name)
    globals()[name] = value
    return value
