"""Lets CPython import the device package: the modules and functions that only MicroPython has."""

import sys

if sys.implementation.name != "micropython":
    import time
    import types
    from pathlib import Path

    if "micropython" not in sys.modules:
        module = types.ModuleType("micropython")
        module.const = lambda value: value
        sys.modules["micropython"] = module
    if "tls" not in sys.modules:
        # Only there so that the package can be imported: no test makes a handshake under CPython.
        module = types.ModuleType("tls")
        module.SSLContext = None
        module.CERT_REQUIRED = 2
        sys.modules["tls"] = module
    for name, function in (
        ("ticks_ms", lambda: time.monotonic_ns() // 1_000_000 & 0x3FFFFFFF),
        ("ticks_us", lambda: time.monotonic_ns() // 1_000 & 0x3FFFFFFF),
        ("ticks_add", lambda a, b: (a + b) & 0x3FFFFFFF),
        ("ticks_diff", lambda a, b: ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000),
        ("sleep_ms", lambda ms: time.sleep(ms / 1000)),
    ):
        if not hasattr(time, name):
            setattr(time, name, function)
    _lib = str(Path(__file__).resolve().parents[2] / "lib")
    if _lib not in sys.path:
        sys.path.insert(0, _lib)
