# A device program: tries to get a connection past what must guard it, and says what came of it.
#
# Request, in JSON in the environment: job, cafile, and for some host, port, pins.

import json
import os
import socket
import sys
import time

sys.path.append(os.getenv("UNIT_TESTS"))

import rootlet
from errno import EAGAIN

request = json.loads(os.getenv("REQUEST"))


def outcome(call):
    try:
        return repr(call())
    except BaseException as error:
        return type(error).__name__


def generator():
    rootlet.forgets = True  # as in firmware
    from rootlet import entropy

    entropy.rng = "no"
    del entropy
    sock = socket.socket()
    results = []
    for trust in ({"psk": ("board", b"0123456789abcdef")}, {"cafile": request["cafile"]}):
        context = rootlet.Context(**trust)
        results.append(outcome(lambda: context.handshake(sock, request["host"], None)))
    sock.close()
    return results[0][:1], results[1], rootlet.entropy.rng


def end():
    context = rootlet.Context(cafile=request["cafile"], pins=request["pins"], allow_single=True)
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", request["port"])[0][-1])
    c = context.wrap_socket(sock, server_hostname=request["host"], do_handshake_on_connect=False)
    c._observer.over = True  # what came looked like the end of a handshake
    before = c.is_established()
    wrote = outcome(lambda: c.write(b"secret"))
    c.close()
    return before, wrote


def datagrams():
    """What Mbed TLS is told when a datagram cannot be sent, and when an anchor cannot be looked up."""
    from rootlet.dtls_observer import DatagramObserver

    class Line:
        def __init__(self, raised):
            self.raised = raised

        def send(self, buffer):
            raise self.raised

        def recv(self, n):
            import flight
            import make

            message = flight.certificate_message(make.certificate(issuer=make.name(cn="Root")))
            size = message[1:4]
            body = message[:4] + bytes(5) + size + message[4:]
            return b"\x16\xfe\xfd" + bytes(8) + flight.u16(len(body)) + body

    def look_up(name):
        raise OSError(EAGAIN)  # of a file

    results = []
    for raised in (MemoryError(), KeyboardInterrupt(), ValueError()):
        observer = DatagramObserver(Line(raised), look_up)
        results.append((outcome(lambda: observer.write(b"x")), observer.error is raised))
    results.append((outcome(lambda: DatagramObserver(Line(OSError(EAGAIN)), look_up).write(b"x")), None))
    observer = DatagramObserver(Line(None), look_up)
    results.append((outcome(lambda: observer.readinto(bytearray(2000))), repr(observer.error)))
    return results


def unseen():
    """Mbed TLS completes handshakes without having shown the chain to anybody, as if its firmware were broken."""
    import asyncio
    import tls

    import rootlet.beginning

    make = rootlet.beginning.tls_context

    def broken(*arguments):
        made = make(*arguments)
        made.verify_mode = tls.CERT_NONE
        return made

    rootlet.beginning.tls_context = broken
    context = rootlet.Context(cafile=request["cafile"])

    def in_steps():
        sock = socket.socket()
        sock.connect(socket.getaddrinfo("127.0.0.1", request["port"])[0][-1])
        c = context.wrap_socket(sock, server_hostname=request["host"], do_handshake_on_connect=False)
        c.write(b"GET / HTTP/1.0\r\n\r\n")

    where = request["host"], request["port"], context
    return [
        outcome(lambda: rootlet.connect(*where, address="127.0.0.1")),
        outcome(in_steps),
        outcome(lambda: asyncio.run(rootlet.open_connection(*where, address="127.0.0.1"))),
        len(os.listdir("/proc/self/fd")),
    ]


def flood():
    """How long a single call lasts while the server sends warnings."""
    context = rootlet.Context(cafile=request["cafile"])
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", request["port"])[0][-1])
    sock.setblocking(False)
    c = context.wrap_socket(sock, server_hostname=request["host"], do_handshake_on_connect=False)
    began_ms = time.ticks_ms()
    longest_ms = 0
    while time.ticks_diff(time.ticks_ms(), began_ms) < 1000:
        call_ms = time.ticks_ms()
        went = outcome(lambda: c.write(b"x"))
        longest_ms = max(longest_ms, time.ticks_diff(time.ticks_ms(), call_ms))
        if went != "None":
            break
        time.sleep_ms(1)
    c.close()
    return longest_ms, went


jobs = {"generator": generator, "end": end, "datagrams": datagrams, "unseen": unseen, "flood": flood}
print(json.dumps(jobs[request["job"]]()))
