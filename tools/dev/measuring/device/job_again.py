# The GET of job_connect a hundred times, each over a connection of its own, after a preflight that never refuses. See
# run_job.py.

_TIMES = 100


def get(host, port, context, buffer):
    import rootlet

    stream = rootlet.connect(host, port, context=context, address="127.0.0.1", timeout_ms=60_000)
    stream.write(b"GET /100 HTTP/1.0\r\nHost: %s\r\n\r\n" % host)
    got = 0
    n = len(buffer)
    while n == len(buffer):
        n = stream.readinto(buffer)
        got += n
    stream.close()
    return got


def check_memory():
    """What preflight found: bytes free in the Python heap, then those free while Mbed TLS has its record buffers."""
    import gc
    import sys

    import rootlet
    from rootlet import memory

    memory.preflight(extra_bytes=-1 << 20)
    gc.collect()
    found = gc.mem_free(), memory._with_buffers()[0]
    # As main.py does.
    del memory, rootlet.memory, sys.modules["rootlet.memory"]
    gc.collect()
    return found


def run(host, port, ca, stores, phase, times=_TIMES):
    import rootlet

    found = check_memory()
    phase("imported")
    context = rootlet.Context(stores=stores)
    phase("ready")
    buffer = bytearray(512)
    good = 0
    for _ in range(times):
        # In a function: nothing of the last connection is kept when the next one begins.
        good += get(host, port, context, buffer) > 100
    phase("connected")
    if good == times:
        print(*found)
    return good == times
