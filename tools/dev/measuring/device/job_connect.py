# The same GET over rootlet.connect, with a trust store on flash. See run_job.py.


def run(host, port, ca, stores, phase):
    import rootlet

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
    return got > 100
