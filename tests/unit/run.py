"""Runs test modules on MicroPython and on CPython alike: `run.py MODULE …`, by default all `unit_*.py` of this folder.

Every function `test_*` is called; it says nothing or raises. One line per function: `ok NAME`, `skip NAME: why` or
`FAIL NAME` followed by the traceback. Exit status 1 if one failed.
"""

import os
import sys

here = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
sys.path.insert(0, here)
if sys.implementation.name == "micropython":
    sys.path.insert(0, here + "/../../lib")
else:
    import cpython_shim  # noqa: F401


class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


def run(name):
    module = __import__(name)
    failed = 0
    for test in sorted(dir(module)):
        function = getattr(module, test)
        if not test.startswith("test_") or not callable(function):
            continue
        try:
            function()
        except Exception as error:
            # By name: the class here is not the class of a module that imported this file again.
            if type(error).__name__ == "Skip":
                print("skip %s.%s: %s" % (name, test, error))
                continue
            failed += 1
            print("FAIL %s.%s" % (name, test))
            if sys.implementation.name == "micropython":
                sys.print_exception(error, sys.stdout)
            else:
                import traceback

                traceback.print_exc(file=sys.stdout)
        else:
            print("ok %s.%s" % (name, test))
    return failed


def main():
    names = [name.rsplit("/", 1)[-1] for name in sys.argv[1:]] or sorted(
        name for name in os.listdir(here) if name.startswith("unit_") and name.endswith(".py")
    )
    failed = 0
    for name in names:
        failed += run(name[:-3] if name.endswith(".py") else name)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
