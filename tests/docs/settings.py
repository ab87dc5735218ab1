"""What each page takes for granted: files of the reader, what is on the board, names that an example goes on with."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives import serialization

from .sandbox import Setting
from .world import FIRMWARE, PSK_IDENTITY, PSK_KEY, World

# Without [network]: the virtual board has the computer's.
TOML = '[job]\nurl = "https://example.org/"\n'
CONTEXT = 'import rootlet\ncontext = ctx = rootlet.Context(store="/certs/roots.rtlt")\n'


def store(world: World) -> bytes:
    return world.store


def client_certificate(world: World) -> bytes:
    return world.client.chain_pem


def client_key(world: World) -> bytes:
    return world.client.key_pem


def device_certificate(world: World) -> bytes:
    """As `rootlet provision` writes it."""
    return world.client.der


def device_key(world: World) -> bytes:
    return world.client.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def site_ca(world: World) -> bytes:
    return world.site_ca.pem


SETTINGS: dict[str, Setting] = {
    "README.md": Setting(board="empty", files={"rootlet.toml": TOML}),
    "docs/certificates.md": Setting(
        files={"certs/site.rtlt": store, "board.log": "OSError: [Errno 104] ECONNRESET\n"},
    ),
    "docs/connections.md": Setting(
        on_board={"certs/board.pem": client_certificate, "certs/board.key": client_key},
        names=CONTEXT + 'from binascii import unhexlify\nrequest = b"\\x40\\x01\\x00\\x01\\n"\n',
    ),
    "docs/cookbook.md": Setting(
        on_board={
            "certs/site.rtlt": store,
            "certs/device.der": device_certificate,
            "certs/device.key.der": device_key,
            "certs/psk": f"{PSK_IDENTITY}:{PSK_KEY.hex()}\n",
        },
        names=f'digest = "{hashlib.sha256(FIRMWARE).hexdigest()}"\n',
    ),
    "docs/deploy.md": Setting(board="empty", files={"rootlet.toml": TOML}),
    "docs/http.md": Setting(names=f'digest = "{hashlib.sha256(FIRMWARE).hexdigest()}"\n'),
    "docs/pins.md": Setting(
        files={"our-ca.pem": site_ca, "backup-key.pem": client_key},
        names="import rootlet\n",
    ),
    "docs/porting.md": Setting(board="empty", files={"rootlet.toml": TOML}),
    "docs/trace.md": Setting(
        names=CONTEXT
        + "from rootlet import http\nfrom rootlet.trace import Trace\n"
        + 'ctx.trace = Trace(2, "/trace.jsonl")\n'
        + 'for _ in range(2):\n    http.get("https://example.org/", ctx).close()\n',
    ),
    "docs/updates.md": Setting(
        board="empty",
        files={"our-ca.pem": site_ca, "rootlet.toml": TOML, "recovery.toml": TOML + '[updates]\nunsigned = "usb"\n'},
        names=CONTEXT
        + 'urls = ["https://example.org/roots.rtlt"]\n'
        + "from umqtt.simple import MQTTClient\n"
        + 'client = MQTTClient("board", "localhost", 1883)\nclient.set_callback(print)\nclient.connect()\n',
    ),
}


def setting_of(page: str) -> Setting:
    return SETTINGS.get(page, Setting())
