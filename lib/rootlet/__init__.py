"""Verified TLS for MicroPython. See README.md.

import rootlet
ctx = rootlet.Context(store="/certs/roots.rtlt")
with rootlet.connect("example.org", 443, context=ctx) as c:
    c.write(b"GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n")
    print(c.read())
"""

__version__ = "0.1.0"

from sys import implementation as _implementation

try:
    import hashlib as _hashlib
    import tls as _tls

    _tls.CERT_REQUIRED, _hashlib.sha256  # axTLS has no CERT_REQUIRED, and verifies nothing
    if _implementation.version < (1, 24):
        raise AttributeError
except (ImportError, AttributeError):
    from .firmware import complain as _complain

    _complain()

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
        if name in _HOME:
            raise  # which module is missing, of the board or of rootlet
        raise AttributeError(name)
    if module != name:
        value = getattr(value, name)
    globals()[name] = value
    return value
