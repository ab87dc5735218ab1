# A device program: prints in JSON, by name, which of the things that firmware may lack this one has. The names are those
# of support/firmware.py. Whatever can be tried out is tried out. With an argument, the port of a server on this machine:
# whether a handshake succeeds there.

import io
import json
import socket
import sys

import tls


def client_hello():
    """The extensions of the ClientHello, by number: RFC 8446, 4.1.2."""

    class Sink(io.IOBase):
        sent = b""

        def write(self, data):
            self.sent += bytes(data)
            return len(data)

        def readinto(self, buffer):
            return 0

        def ioctl(self, request, argument):
            return 0

        def setblocking(self, flag):
            pass

    sink = Sink()
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_NONE
    try:
        context.wrap_socket(sink)
    except OSError:
        pass  # there is no server
    hello = sink.sent[5:]
    at = 4 + 2 + 32
    at += 1 + hello[at]  # session
    at += 2 + (hello[at] << 8 | hello[at + 1])  # cipher suites
    at += 1 + hello[at]  # compression
    at += 2
    extensions = {}
    while at < len(hello):
        end = at + 4 + (hello[at + 2] << 8 | hello[at + 3])
        extensions[hello[at] << 8 | hello[at + 1]] = hello[at + 4 : end]
        at = end
    return extensions


def meets(port):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_NONE
    try:
        context.wrap_socket(sock)
        return True
    except OSError:
        return False
    finally:
        sock.close()


def psk():
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    try:
        context.psk_identity = b"board"
        context.psk_key = bytes(16)
    except AttributeError:
        return False
    return any("-PSK-" in name for name in context.get_ciphers())


def ssl():
    try:
        import ssl
    except ImportError:
        return False
    return hasattr(ssl, "SSLContext")


if len(sys.argv) > 1:
    print(json.dumps(meets(int(sys.argv[1]))))
    sys.exit()
offered = client_hello()
versions = offered.get(43, b"\0")[1:]  # supported_versions: RFC 8446, 4.2.1
found = {
    "tls1.3": any(versions[i : i + 2] == b"\x03\x04" for i in range(0, len(versions), 2)),
    "tickets": 35 in offered,  # session_ticket: RFC 5077, 3.2
    "psk": psk(),
    "ssl": ssl(),
}
print(json.dumps(found))
