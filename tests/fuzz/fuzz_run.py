"""Feeds inputs to the targets, on MicroPython or CPython.

    fuzz_run.py INPUTS SEED [TARGET …]    inputs that are changed at random, shared out among the targets
    fuzz_run.py FOLDER TARGET             the files in a folder

One line for each target: its name, inputs, milliseconds, by how many bytes the heap has grown, and for a folder a
digest of what came of each input. For a target that fails its traceback and the input, in hexadecimal; exit status 1.
"""

import gc
import os
import random
import sys
import time
from binascii import hexlify
from hashlib import sha256

_here = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path[:0] = [_here, _here + "/../unit"]
if sys.implementation.name == "micropython":
    sys.path.insert(0, _here + "/../../lib")
else:
    import cpython_shim  # noqa: F401

from fuzz_mutate import below, mutate, mutate_der, some  # noqa: E402
from fuzz_targets import TARGETS  # noqa: E402

_WARM_UP = 50


def _heap():
    if not hasattr(gc, "mem_alloc"):
        return 0
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


def run(name, function, seeds, is_der, count):
    """Feeds `count` inputs to the target. Returns the growth of the heap in bytes, or None when one failed."""
    data = b""
    before = 0
    try:
        for data in seeds:
            function(data)
        for i in range(count):
            if i == min(_WARM_UP, count - 1):
                before = _heap()
            data = some(seeds)
            data = mutate_der(data, seeds) if is_der and below(3) else mutate(data, seeds)
            function(data)
    except Exception as error:
        _tell(name, error, data)
        return None
    data = None
    return _heap() - before


def replay(folder, target):
    """Feeds the files in `folder` to the target, in the order of their names."""
    [function] = [function for name, function, _, _, _ in TARGETS if name == target]
    digest = sha256()
    count = 0
    began_ms = time.ticks_ms()
    for file in sorted(os.listdir(folder)):
        with open(folder + "/" + file, "rb") as opened:
            data = opened.read()
        try:
            digest.update(repr(function(data)).encode())
        except Exception as error:
            _tell(target, error, data)
            return False
        count += 1
    digest = str(hexlify(digest.digest()), "ascii")
    print("ok %s %d %d %d %s" % (target, count, time.ticks_diff(time.ticks_ms(), began_ms), 0, digest))
    return True


def _tell(name, error, data):
    if sys.implementation.name == "micropython":
        sys.print_exception(error, sys.stdout)
    else:
        import traceback

        traceback.print_exc(file=sys.stdout)
    print("FAIL %s %s" % (name, "".join(["%02x" % byte for byte in data])))


def main():
    if not sys.argv[1].isdigit():
        sys.exit(0 if replay(sys.argv[1], sys.argv[2]) else 1)
    inputs, seed = int(sys.argv[1]), int(sys.argv[2])
    random.seed(seed)
    chosen = [target for target in TARGETS if not sys.argv[3:] or target[0] in sys.argv[3:]]
    shares = sum([target[4] for target in chosen])
    failed = False
    for name, function, seeds, is_der, share in chosen:
        count = max(1, inputs * share // shares)
        began_ms = time.ticks_ms()
        grown = run(name, function, seeds, is_der, count)
        if grown is None:
            failed = True
            continue
        print("ok %s %d %d %d" % (name, count, time.ticks_diff(time.ticks_ms(), began_ms), grown))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
