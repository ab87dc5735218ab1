"""What this firmware has and lacks, in words. Imported when something is missing, or to ask."""

import sys


def lacks():
    """What rootlet cannot do without and this firmware has not: a list of texts, empty where it runs."""
    found = []
    if sys.implementation.version < (1, 24):
        found.append("MicroPython 1.24 (this is %d.%d)" % tuple(sys.implementation.version[:2]))
    try:
        import tls

        # axTLS, on boards with very little memory, has the module and verifies nothing: extmod/modtls_axtls.c
        if hasattr(tls, "CERT_REQUIRED") and hasattr(tls, "SSLContext"):
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            for name in ("verify_mode", "verify_callback", "load_verify_locations", "set_ciphers"):
                if not hasattr(context, name):
                    found.append("tls.SSLContext." + name)
        else:
            found.append("a module tls that verifies certificates (Mbed TLS)")
    except ImportError:
        found.append("module tls")
    for module, name in (("hashlib", "sha256"), ("select", "poll"), ("io", "IOBase")):
        try:
            if not hasattr(__import__(module), name):
                found.append("%s.%s" % (module, name))
        except ImportError:
            found.append("module " + module)
    return found


def optional():
    """[(what is missing, what cannot be done without it)] of what only some uses need."""
    found = []
    try:
        import tls

        if not hasattr(tls, "PROTOCOL_DTLS_CLIENT"):
            found.append(("tls.PROTOCOL_DTLS_CLIENT", "DTLS"))
        if not hasattr(tls.SSLContext(tls.PROTOCOL_TLS_CLIENT), "psk_key"):
            found.append(("tls.SSLContext.psk_key", "pre-shared keys"))
    except (ImportError, AttributeError):
        pass  # says `lacks`
    import os

    if not hasattr(os, "urandom"):
        found.append(("os.urandom", "connections with certificates"))
    for module, use in (("asyncio", "asyncio"), ("deflate", "compressed bodies"), ("json", "rootlet.json")):
        try:
            __import__(module)
        except ImportError:
            found.append(("module " + module, use))
    return found


def check_ciphers(names):
    """Raises ConfigError unless `names` is a list of cipher suites that this firmware has, one at least."""
    import tls

    from .settings import refuse

    if not isinstance(names, (list, tuple)) or not names:
        refuse("ciphers must be a list of cipher suite names", "Leave it out for the safe default")
    available = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT).get_ciphers()
    for name in names:
        if name not in available:
            refuse("this firmware has no cipher suite %s" % name, "It has " + ", ".join(available))


def complain(kind=ImportError):
    """Raises `kind` with everything that is missing."""
    raise kind("this firmware lacks %s: rootlet takes MicroPython 1.24 or later with Mbed TLS" % ", ".join(lacks()))
