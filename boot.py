"""Runs first, before main.py. Small, and it always returns: a board that hangs here can hardly be repaired over USB.

Makes sure that the device library is found, starts the watchdog that rootlet.json asks for, and says whether the clock
is set. main.py does the rest.
"""


def _path():
    import sys

    if "/lib" not in sys.path and "lib" not in sys.path:
        sys.path.append("/lib")


def _watchdog():
    # Started here so that a main.py that hangs while it is loaded does not hang for ever. main.py feeds it then.
    from os import stat

    for path in ("main.mpy", "main.py"):
        try:
            stat(path)
            break
        except OSError:
            pass
    else:
        return  # nobody would feed it, and files could hardly be copied to the board
    try:
        stat("rootlet.json")
    except OSError:
        return  # main.py will say so
    from rootlet.config import load

    timeout_ms = load()["watchdog_ms"]
    if timeout_ms:
        import machine

        if hasattr(machine, "WDT"):
            machine.WDT(timeout=timeout_ms)


def _clock():
    from rootlet import clock

    class Nothing:  # a store that sets no floor of its own
        issued_at = not_used_after = 0

    # Every connection checks it again; this is for whoever reads the console.
    clock.check((Nothing,))


for _step in (_path, _watchdog, _clock):
    try:
        _step()
    except Exception as _error:
        print("boot: %s" % _error if str(_error) else "boot: " + repr(_error))
del _step, _path, _watchdog, _clock
