"""A TLS server in a process of its own, so that its work is not counted with the client's.

    python server.py CHAIN_AND_KEY.pem [CLIENTS_CA.pem]

With a second file it demands a certificate of that CA from its clients. Prints its port. `GET /N` is answered with
N bytes; whatever else, with none. It ends with its standard input.
"""

from __future__ import annotations

import re
import ssl
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))

from support.servers import answer, http_response, tls_server

# One suite for each kind of key: both clients do the same cryptography, whatever else they offer.
_SUITES = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"


def _respond(request: bytes) -> bytes:
    asked = re.match(rb"GET /(\d+) ", request)
    return http_response(bytes(int(asked[1])) if asked else b"")


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    if len(sys.argv) > 2:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(sys.argv[2])
    # The identity is in the context already.
    with tls_server(None, answer(_respond), context=context) as server:  # type: ignore[arg-type]
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
