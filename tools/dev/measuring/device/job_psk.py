# The same GET over rootlet.connect with the pre-shared key PSK (hexadecimal). See run_job.py.

from binascii import unhexlify
from os import getenv


def run(host, port, ca, stores, phase):
    import rootlet

    rootlet.Context, rootlet.connect
    phase("imported")
    context = rootlet.Context(psk=("board", unhexlify(getenv("PSK"))))
    phase("ready")
    stream = rootlet.connect(host, port, context=context, address="127.0.0.1", timeout_ms=60_000)
    phase("connected")
    stream.write(b"GET /100 HTTP/1.0\r\nHost: %s\r\n\r\n" % host)
    buffer = bytearray(512)
    got = stream.readinto(buffer, 100)
    phase("answered")
    stream.close()
    return got > 0
