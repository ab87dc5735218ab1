"""What `rootlet doctor` asks a board: one function for each question, each with modules of its own to import.

Every answer is (state, text, remedy, data): state "ok", "warn" or "fail", text and remedy in words, data a dict of
numbers or None. Nothing here raises for what it finds. Never imported by an application.
"""

import gc
from time import ticks_diff, ticks_ms


def ask(question, *arguments):
    """Prints the answer to `question` (the name of a function here) as one line that Python can read."""
    try:
        answer = globals()[question](*arguments)
    except Exception as error:
        answer = _failed(error)
    print(repr(answer))


def features():
    import tls

    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    found = {
        "verify_callback": hasattr(context, "verify_callback"),
        "dtls": hasattr(tls, "PROTOCOL_DTLS_CLIENT"),
        "psk": hasattr(context, "psk_key"),
        "tls13": any(name.startswith("TLS1-3-") for name in context.get_ciphers()),
    }
    if not found["verify_callback"]:
        return "fail", "no verify callback", "Use MicroPython 1.24 or later", found
    return "ok", "", "", found


def configuration(path):
    """Is there a configuration, and is it a right one?"""
    from . import entropy as generator

    settings = _settings(path)
    generator.rng = settings["rng"]
    return "ok", "job.url is " + settings["job"]["url"], "", {"stores": list(settings["stores"])}


def clock(paths):
    from . import clock
    from .report import utc

    clock.check(_stores(paths))
    return "ok", utc(clock.now()), "", {"seconds": clock.now(), "floor": clock.bounds(_stores(paths))[0]}


def entropy():
    from .entropy import status

    found = status()
    if found["fault"]:
        remedy = "Use a board whose firmware has a working hardware random number generator"
        return "fail", "the random number generator " + found["fault"], remedy, found
    text = "%d bits from %s: longest run %d, %d equal to the first" % (
        found["bits"],
        found["source"],
        found["longest_run"],
        found["proportion"],
    )
    if found["note"]:
        return "warn", text + "; " + found["note"], "Turn the radio on before the first connection", found
    return "ok", text, "", found


def store(path):
    """The store in force at `path`: every byte of it, then its signature."""
    from .integrity import fault
    from .slots import Slots
    from .opening import current

    found = current(path)
    data = {"path": found.path, "sequence": found.sequence, "anchors": found.count, "size_bytes": found.size}
    data["signed"] = found.signed
    text = "%s: sequence %d, %d anchors, %d bytes" % (found.path, found.sequence, found.count, found.size)
    why = fault(found)
    if why:
        return "fail", "%s: %s" % (found.path, why), "Push a fresh store: rootlet push", data
    if not found.signed:
        return "warn", text + ", not signed", "Sign it (rootlet store sign) before boards fetch updates of it", data
    from .signature import verify

    failure = None
    for publisher in Slots(path).publishers():
        try:
            verify(found, publisher)
            return "ok", text + ", signed by its publisher", "", data
        except OSError as error:
            failure = error
    if failure:
        return ("fail",) + _words(failure) + (data,)
    return "warn", text + ", signed by somebody unknown to the board", "Push a store that announces its publisher", data


def heap():
    """The heaps. What micropython.mem_info prints before the answer tells the largest free block."""
    gc.collect()
    free, used = gc.mem_free(), gc.mem_alloc()
    try:
        from micropython import mem_info

        mem_info()
    except ImportError:
        pass
    data = {"total_bytes": free + used, "free_bytes": free, "idf": []}
    try:
        from esp32 import HEAP_DATA, idf_heap_info

        data["idf"] = [tuple(entry) for entry in idf_heap_info(HEAP_DATA)]
    except (ImportError, AttributeError):
        pass
    return "ok", "", "", data


def memory():
    """Would a first connection find the memory that it takes?"""
    from .memory import preflight

    found = preflight("http")
    return "ok", "%d bytes to spare for a verified connection" % found["spare_bytes"], "", found


def loopback(leaf, key, authority, name):
    """A handshake with itself, in memory: the right name must be accepted, and a wrong one and a wrong CA refused.

    `leaf` and `authority` are certificates, `key` an EC key, all DER.
    """
    from .signature import _shake_hands

    gc.collect()
    began_ms = ticks_ms()
    why = _shake_hands((leaf, key), name, authority)
    took_ms = ticks_diff(ticks_ms(), began_ms)
    data = {"ms": took_ms}
    if why:
        return "fail", why, "This firmware's TLS does not work: flash another one", data
    gc.collect()
    if not _shake_hands((leaf, key), "wrong-" + name, authority):
        return "fail", "a wrong host name was accepted", "Do not use this firmware for TLS", data
    gc.collect()
    if not _shake_hands((leaf, key), name, leaf):
        return "fail", "a wrong CA was accepted", "Do not use this firmware for TLS", data
    return "ok", "verified in %d ms; wrong name and wrong CA refused" % took_ms, "", data


def stock(programs):
    """Is there something here that takes any certificate? `programs`: files that may install rootlet.compat."""
    from sys import modules

    found = []
    for name in ("ssl", "requests", "urequests", "mip"):
        try:
            __import__(name)
            found.append(name)
        except ImportError:
            pass
    data = {"modules": found, "compat": False}
    if not found:
        return "ok", "no ssl, requests or mip in this firmware", "", data
    # What has run by now shows in compat itself; what runs after the next reset, in the programs only.
    compat = modules.get("rootlet.compat")
    if compat and compat.installed():
        data["compat"], programs = True, ()
    for path in programs:
        try:
            with open(path) as file:
                for line in file:
                    if "compat" in line and line.strip()[:1] != "#":
                        data["compat"] = True
        except OSError:
            pass
    if data["compat"]:
        return "ok", "%s verify: rootlet.compat is installed" % ", ".join(found), "", data
    text = "%s take any certificate on this firmware" % ", ".join(found)
    return "warn", text, "Call rootlet.compat.install() at the beginning of main.py if anything uses them", data


def network(path):
    """Brings up the network that the configuration names."""
    settings = _settings(path)
    kind = settings["network"]["kind"]
    if kind == "none":
        return "ok", "the system's own", "", None
    if kind == "modem":
        from .modem.configured import shared

        return "ok", shared(settings).join(), "", None
    from . import network

    return "ok", network.describe(network.up(settings["network"])), "", None


def connect(*arguments):
    """See probe.py."""
    from .probe import probe

    return probe(*arguments)


def _settings(path):
    from .config import load

    return load(path)


def _stores(paths):
    from .opening import current

    found = []
    for path in paths:
        try:
            found.append(current(path))
        except OSError:
            pass  # there is another question for that
    return found


def _words(error):
    from .report import describe, printable

    cause, remedy = describe(error)
    return printable(cause), printable(remedy or "")


def _failed(error):
    return ("fail",) + _words(error) + (None,)
