# The same GET over rootlet.connect. With CLIENT_CERT and CLIENT_KEY in the environment the board shows a certificate.
# See run_job.py.

from os import getenv


def run(host, port, ca, stores, phase):
    import rootlet

    rootlet.Context, rootlet.connect  # their modules
    phase("imported")
    options = {"stores": stores} if stores else {"cafile": ca}
    if getenv("CLIENT_CERT"):
        options["client_cert"] = getenv("CLIENT_CERT")
        options["client_key"] = getenv("CLIENT_KEY")
    context = rootlet.Context(**options)
    phase("ready")
    stream = rootlet.connect(host, port, context=context, address="127.0.0.1", timeout_ms=60_000)
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
