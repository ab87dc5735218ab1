"""The network in which the pages' examples run: CAs, servers on loopback, and the names that lead to them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import ssl
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import certifi
from cryptography.x509.oid import ExtendedKeyUsageOID
from rootlet_host.deploy import compile_library
from rootlet_host.store.anchors import anchor_from_certificate
from rootlet_host.store.builder import build_store
from simulators.firmware import as_hex, esp_firmware, stm32_parts
from simulators.web import FirmwareSite
from support import pki
from support.http_server import Reply, Request, https_site
from support.programs import daemon, free_port, mosquitto, program
from support.servers import Server, read_request, server_context, tls_server

FIRMWARE = b"firmware " * 400
PSK_IDENTITY, PSK_KEY = "board-17", b"replace-this-key"  # libcoap takes text
BROKERS = {"broker": "broker.example.org:8883", "plain": "localhost:1883", "psk": "broker.lan:8883"}
ESP32_FIRMWARE = "ESP32_GENERIC_S3-20250911-v1.26.1.bin"
NUCLEO_FIRMWARE = "NUCLEO_F767ZI-20250911-v1.26.1.hex"


class World(contextlib.ExitStack):
    """Use as a context manager; `hosts` has "name:port" and the port on loopback."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.hosts: dict[str, int] = {}
        self.root = pki.make_ca("Example Trust Services Root")
        self.issuer = self.root.child("Example Trust Services CA 1")
        self.site_ca = pki.make_ca("site CA")
        self.client = self.site_ca.issue("board-17", usage=(ExtendedKeyUsageOID.CLIENT_AUTH,))
        self.self_signed = pki.self_signed("server.lan")
        anchors = [anchor_from_certificate(each.certificate, source="docs") for each in (self.root, self.site_ca)]
        self.store = build_store(anchors, sequence=1, issued_at=1_700_000_000)

    def __enter__(self) -> World:
        super().__enter__()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        self._web()
        self._brokers()
        self._mail()
        self._datagrams()
        self.micropython_org = self.enter_context(FirmwareSite())
        self.micropython_org.page("ESP32_GENERIC_S3", ESP32_FIRMWARE)
        self.micropython_org.publish(ESP32_FIRMWARE, esp_firmware("esp32s3"))
        self.micropython_org.page("NUCLEO_F767ZI", NUCLEO_FIRMWARE)
        nucleo = stm32_parts("NUCLEO-F767ZI with STM32F767", 4_000)
        self.micropython_org.publish(NUCLEO_FIRMWARE, as_hex(nucleo))

    @cached_property
    def library(self) -> dict[str, bytes]:
        """The device library, compiled as `rootlet deploy` does it."""
        return compile_library("6.3")[0]

    @cached_property
    def roots(self) -> Path:
        """Mozilla's roots as certifi ships them, and this world's."""
        path = self.folder / "roots.pem"
        path.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + self.root.pem)
        return path

    @cached_property
    def packages(self) -> Path:
        """An index for mip, made as `make packages` makes it."""
        folder = self.folder / "mip"
        tool = Path(__file__).resolve().parents[2] / "tools" / "dev" / "packages.py"
        subprocess.run([sys.executable, tool, "index", folder], check=True, capture_output=True, timeout=60)
        return folder

    # Servers

    def _web(self) -> None:
        names = ("example.org", "*.example.org", "server.test", "a.example", "b.example")
        site = self.enter_context(https_site(self.issuer.issue(*names), self._answer))
        for name in (
            "example.org",
            "www.example.org",
            "stores.example.org",
            "api.example.org",
            "packages.example.org",
            "a.example",
        ):
            self.hosts[f"{name}:443"] = site.port
        private = self.site_ca.issue("board.lan", "gateway.lan", "*.site.example.org")
        inside = self.enter_context(https_site(private, self._answer))
        self.hosts.update({"board.lan:8443": inside.port, "gateway.lan:443": inside.port})
        alone = self.enter_context(https_site(self.self_signed, self._answer))
        self.hosts["server.lan:8443"] = alone.port
        # One whose certificate is for other names.
        wrong = self.enter_context(https_site(self.issuer.issue("www.example.org"), self._answer))
        self.hosts["board.example.org:443"] = wrong.port
        mutual = server_context(self.issuer.issue("devices.example.org"))
        mutual.verify_mode = ssl.CERT_REQUIRED
        mutual.load_verify_locations(cadata=self.site_ca.pem.decode())
        self.hosts["devices.example.org:443"] = self.enter_context(tls_server(self.root, context=mutual)).port
        plain = self.enter_context(Server(self._plain))
        for name in ("stores.example.org", "b.example"):
            self.hosts[f"{name}:80"] = plain.port

    def _answer(self, request: Request) -> Reply:
        if request.target.startswith("/firmware.bin"):
            return Reply(body=FIRMWARE, headers={"ETag": '"1"'})
        if request.target.startswith("/roots.rtlt"):
            return Reply(body=self.store, headers={"ETag": f'"{hashlib.sha256(self.store).hexdigest()[:16]}"'})
        if request.headers.get("host") == "packages.example.org":
            file = self.packages / request.target.lstrip("/")
            return Reply(body=file.read_bytes()) if file.is_file() else Reply(404)
        if request.method == "POST":
            return Reply(201, json.dumps({"stored": len(request.body)}).encode(), {"Content-Type": "application/json"})
        return Reply(body=b"Example: a page that was fetched over a verified connection.\n")

    def _plain(self, connection: socket.socket) -> None:
        if not read_request(connection):
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(self.store))
        connection.sendall(self.store)

    def _brokers(self) -> None:
        ca = self.folder / "site-ca.pem"
        ca.write_bytes(self.site_ca.pem)
        certificate, key = self.issuer.issue("broker.example.org").write(self.folder, "broker")
        tls = [f"certfile {certificate}", f"keyfile {key}"]
        for name, settings in {
            "broker": [*tls],
            "plain": [],
            "psk": [f"psk_file {self._psk_file()}", "psk_hint mosquitto", "use_identity_as_username false"],
        }.items():
            folder = self.folder / name
            folder.mkdir()
            port, _ = self.enter_context(mosquitto(folder, *settings))
            self.hosts[BROKERS[name]] = port

    def _psk_file(self) -> Path:
        path = self.folder / "board-keys"
        path.write_text(f"{PSK_IDENTITY}:{PSK_KEY.hex()}\n")
        return path

    def _mail(self) -> None:
        identity = server_context(self.issuer.issue("mail.example.org"))

        def serve(connection: socket.socket) -> None:
            connection.sendall(b"220 mail.example.org ESMTP\r\n")
            connection.recv(512)
            connection.sendall(b"250 STARTTLS\r\n")
            connection.recv(512)
            connection.sendall(b"220 go ahead\r\n")
            with identity.wrap_socket(connection, server_side=True) as stream:
                while stream.recv(512):
                    stream.sendall(b"250 mail.example.org\r\n")

        self.hosts["mail.example.org:587"] = self.enter_context(Server(serve)).port

    def _datagrams(self) -> None:
        identity = self.root.issue("coap.example.org")
        file = self.folder / "coap.pem"
        file.write_bytes(identity.pem + identity.key_pem)
        port = free_port(socket.SOCK_DGRAM)  # of plain CoAP; DTLS takes the next
        server = program("coap-server-openssl", "libcoap3-bin")
        command = (server, "-A", "127.0.0.1", "-p", str(port), "-c", file, "-n", "-k", PSK_KEY.decode(), "-v", "7")
        ready = f"created DTLS endpoint 127.0.0.1:{port + 1}"
        self.enter_context(daemon(*command, port=None, log=self.folder / "coap.log", ready=ready))
        self.hosts["coap.example.org:5684"] = port + 1
