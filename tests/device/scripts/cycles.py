# Runs cycles of the application that fail in every way, each followed by a good one, and tells in JSON how they went.

import errno
import gc
import json
import os
import socket

import application
from rootlet import config, report

with open("/faults.json") as file:
    faults = json.load(file)
settings = config.load()
out = report.Report()
app = application.Application(settings, out)
handle = application.handle
result = {"outcomes": {}, "good afterwards": []}


def cycle(job):
    settings["job"] = config.check({"job": job})["job"]
    return app.cycle()


def failing(error):
    def handle(*_):
        raise error

    return handle


def with_handle(error):
    application.handle = failing(error)
    try:
        return cycle(faults["good"])
    finally:
        application.handle = handle


def without_store():
    # Not os.rename: VfsPosix with a root confuses its two paths.
    with open("/certs/roots.rtlt", "rb") as file:
        store = file.read()
    os.remove("/certs/roots.rtlt")
    app._context = None
    try:
        return cycle(faults["good"])
    finally:
        with open("/certs/roots.rtlt", "wb") as file:
            file.write(store)


attempts = (
    ("plain HTTP", lambda: cycle(faults["plain"])),
    ("refused", lambda: cycle(faults["closed"])),
    ("unresolved", lambda: cycle({"url": "https://no-such-host.invalid/"})),
    ("MemoryError", lambda: with_handle(MemoryError("memory allocation failed"))),
    ("OSError", lambda: with_handle(OSError(errno.EIO))),
    ("ValueError", lambda: with_handle(ValueError("surprise"))),
    ("no store", without_store),
)


def usage():
    gc.collect()
    gc.collect()
    # The board's file system hides /proc: the number of the next free descriptor tells how many are open.
    probe = socket.socket()
    files = probe.fileno()
    probe.close()
    return files, gc.mem_alloc()


result["outcomes"]["good"] = cycle(faults["good"])
for name, attempt in attempts:  # once, so that everything is loaded
    attempt()
files, heap = usage()
for name, attempt in attempts:
    result["outcomes"][name] = attempt()
    result["good afterwards"].append(cycle(faults["good"]))
try:
    with_handle(KeyboardInterrupt())
except BaseException as error:
    result["interrupted"] = type(error).__name__
app._context = None
cycle(faults["good"])
result["open files"] = files, usage()[0]
result["heap growth"] = usage()[1] - heap
print()
print(json.dumps(result))
