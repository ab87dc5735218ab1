# The GET of job_connect after a preflight, whose verdict is ignored. Prints what rootlet.memory decides by: the bytes free in
# the Python heap, then those free while Mbed TLS has its record buffers. See run_job.py.


def run(host, port, ca, stores, phase):
    import gc

    import rootlet
    from rootlet import memory

    try:
        memory.preflight()
    except rootlet.OutOfMemoryError:
        pass
    gc.collect()
    free = gc.mem_free()
    beside = memory._with_buffers()[0]
    gc.collect()
    phase("imported")
    context = rootlet.Context(stores=stores)
    phase("ready")
    stream = rootlet.connect(host, port, context=context, address="127.0.0.1")
    phase("connected")
    stream.write(b"GET /100 HTTP/1.0\r\nHost: %s\r\n\r\n" % host)
    buffer = bytearray(512)
    got = 0
    n = len(buffer)
    while n == len(buffer):
        n = stream.readinto(buffer)
        got += n
    phase("answered")
    stream.close()
    if got > 100:
        print(free, beside)
    return got > 100
