"""An HTTPS server in a process of its own that keeps connections.

    python keep_alive_server.py CHAIN_AND_KEY.pem

Prints its port. `GET /N` is answered with N bytes. It ends with its standard input.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support.servers import read_request, tls_server

_SUITES = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
_PIECE = bytes(65536)


def _serve(stream: ssl.SSLSocket) -> None:
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while request := read_request(stream):
        asked = re.match(rb"GET /(\d+) HTTP/1\.(\d)", request)
        size, minor = (int(asked[1]), asked[2]) if asked else (0, b"1")
        ends = minor == b"0" or b"Connection: close" in request
        stream.sendall(
            b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n%s\r\n' % (size, b"Connection: close\r\n" * ends)
            + _PIECE[: min(size, 1024)]
        )
        left = size - min(size, 1024)
        while left > 0:
            stream.sendall(_PIECE[: min(left, len(_PIECE))])
            left -= len(_PIECE)
        if ends:
            stream.settimeout(0.3)
            stream.unwrap()
            return


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    # The identity is in the context already.
    with tls_server(None, _serve, context=context) as server:  # type: ignore[arg-type]
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
