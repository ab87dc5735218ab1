# Shared by the device programs: the two competitors, and the same request for both.

import socket
import tls

import rootlet


# Linux's numbers. Without this option a client's last three small records wait for the server's delayed acknowledgement
# (Nagle, RFC 896): 40 ms that would hide whatever is compared here.
_IPPROTO_TCP = 6
_TCP_NODELAY = 1


def dial(port):
    sock = socket.socket()
    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
    sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
    return sock


class Bare:
    """Module tls as it is meant to be used, with the one CA that is needed loaded beforehand."""

    def __init__(self, request):
        self.host = request["host"].encode()
        self.port = request["port"]
        self.server_hostname = request["host"]
        with open(request["ca"], "rb") as file:
            self.ca = file.read()

    def connect(self):
        sock = dial(self.port)
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.load_verify_locations(self.ca)
        return context.wrap_socket(sock, server_hostname=self.server_hostname)


class Verified:
    """rootlet with all of Mozilla's roots and the site's CA on flash. `fresh`: also makes a new Context each time."""

    def __init__(self, request, fresh=True):
        self.host = request["host"]
        self.port = request["port"]
        self.stores = request["stores"]
        self.context = None if fresh else rootlet.Context(stores=self.stores)

    def connect(self):
        context = self.context or rootlet.Context(stores=self.stores)
        return context.wrap_socket(dial(self.port), server_hostname=self.host)


def ask(stream, host, n):
    stream.write(b"GET /%d HTTP/1.0\r\nHost: %s\r\n\r\n" % (n, host))
