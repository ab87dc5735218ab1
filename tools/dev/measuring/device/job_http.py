# The same GET with rootlet.http. See run_job.py.


def run(host, port, ca, stores, phase):
    import rootlet

    rootlet.Context, rootlet.http
    phase("imported")
    context = rootlet.Context(stores=stores)
    phase("ready")
    with rootlet.http.get(
        "https://%s:%d/100" % (host, port), context, address="127.0.0.1", timeout_ms=60_000
    ) as response:
        phase("connected")
        buffer = bytearray(512)
        got = response.readinto(buffer)
        phase("answered")
    return got == 100
