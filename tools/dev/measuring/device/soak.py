# Makes many requests of many kinds in a random order, good ones and ones that must fail, and says again and again what
# memory and files it holds.
#
# Argument: a file with the request in JSON: kinds (a list of name, job, share, expect, and what the job wants),
# requests, warm_up, samples, seed, leak (None, "heap", "native" or "file": what to lose on purpose), and what soak_jobs
# wants. Prints a line of JSON with the kinds that it leaves out and why, one for each sample, and one for each
# unexpected end of a request.

import gc
import json
import os
import random
import sys
from time import ticks_diff, ticks_us

import soak_jobs
from rootlet import UnsupportedError

_TOLD = 20  # unexpected ends that are told


def resident_bytes():
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024


def touch_all():
    """Writes to every page of the Python heap: what becomes resident later is not of it."""
    pieces = []
    try:
        while True:
            pieces.append(bytearray(2048))
    except MemoryError:
        pass


def sample(done):
    jobs.rest()
    gc.collect()
    gc.collect()  # what a finaliser let go of in the first
    print(
        json.dumps(
            {
                "done": done,
                "heap_bytes": gc.mem_alloc(),
                "resident_bytes": resident_bytes(),
                "files": len(os.listdir("/proc/self/fd")),
                "kinds": counts,
            }
        )
    )


def lose():
    if leak == "heap":
        lost.append(bytes(16))
    elif leak == "file":
        lost.append(open("/dev/null"))
    elif leak == "native":
        jobs.lose_native()


def once(index):
    kind = kinds[index]
    count = counts[index]
    began = ticks_us()
    try:
        kind["call"](kind)
        end = None
    except Exception as error:
        end = error
    taken = ticks_diff(ticks_us(), began)
    count[0] += 1
    count[2] += taken // 1000
    if taken // 1000 > count[3]:
        count[3] = taken // 1000
    if (end and type(end).__name__) not in kind["expect"]:
        count[1] += 1
        if count[1] <= _TOLD:
            told = "%s: %s" % (type(end).__name__, end) if end else "it succeeded"
            print(json.dumps({"wrong": kind["name"], "end": told}))
            if not isinstance(end, OSError) and end:
                sys.print_exception(end, sys.stderr)


with open(sys.argv[1]) as file:
    request = json.load(file)
leak = request["leak"]
touch_all()
lost = []
jobs = soak_jobs.Jobs(request)
kinds = []
left_out = {}
for kind in request["kinds"]:
    try:
        kind["call"] = jobs.prepare(kind)
        kinds.append(kind)
    except UnsupportedError as error:
        left_out[kind["name"]] = error.message
print(json.dumps({"left_out": left_out, "version": sys.version}))
# For each kind, the warming up included: how many there were, how many ended otherwise than expected, milliseconds together, longest.
counts = [[0, 0, 0, 0] for _ in kinds]
table = []
for index in range(len(kinds)):
    table += [index] * kinds[index]["share"]
table = bytes(table)
random.seed(request["seed"])
for _ in range(2):
    for index in range(len(kinds)):
        once(index)
for _ in range(request["warm_up"]):
    once(random.choice(table))
sample(0)
done = 0
every = request["requests"] // request["samples"]
while done < request["requests"]:
    for _ in range(min(every, request["requests"] - done)):
        once(random.choice(table))
        done += 1
        if leak and not done % request["leak_every"]:
            lose()
    sample(done)
