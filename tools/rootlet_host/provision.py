"""Puts a device's identity on a board: its key and certificate, or a pre-shared key. Nothing secret is printed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from .board.transport import Board, BoardError
from .certs import Identity, key_beside, pair
from .errors import HostError, UsageError
from .files import read_file, write_atomic
from .store.sources import read_source

KEY = "certs/device.key.der"
CERTIFICATE = "certs/device.der"
PSK = "certs/psk"

PSK_BYTES = 32
_MIN_PSK_BYTES = 16  # as lib/rootlet/psk.py: RFC 9257, 6
_MAX_PSK_BYTES = 64  # RFC 4279, 5.3: what everybody must support
_MAX_IDENTITY_BYTES = 128  # RFC 4279, 5.3

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Client:
    """What a board shows to servers: its key, its certificate, and those above it that are not self-signed."""

    identity: Identity
    above: tuple[x509.Certificate, ...] = ()

    @property
    def certificates(self) -> list[bytes]:
        """DER, the board's own first."""
        return [self.identity.der, *(certificate.public_bytes(Encoding.DER) for certificate in self.above)]

    @property
    def key(self) -> bytes:
        """DER, as firmware takes it."""
        return self.identity.key_der

    @property
    def files(self) -> dict[str, bytes]:
        """What goes onto the board: the key first, then the certificates one after another."""
        return {KEY: self.key, CERTIFICATE: b"".join(self.certificates)}


@dataclass(frozen=True)
class PreSharedKey:
    """`identity` names `key` to a server."""

    identity: str
    key: bytes

    @property
    def line(self) -> bytes:
        """As it stands in the file of a board, and of mosquitto's psk_file."""
        return f"{self.identity}:{self.key.hex()}\n".encode()


@dataclass(frozen=True)
class Placed:
    """A file on the board: its path, its size, and whether it was there already with this content."""

    path: str
    size: int
    unchanged: bool


# What is to be put there


def load_client(certificate_path: Path, key_path: Path | None = None) -> Client:
    """Certificate (PEM or DER, perhaps with those above it) and key; the key is NAME.key beside NAME.pem by default.

    Raises `UsageError` if they do not belong together or no server would accept them.
    """
    key_path = key_beside(certificate_path, key_path)
    certificates = [entry.certificate for entry in read_source(str(certificate_path)).certificates]
    identity = pair(certificates[0], certificate_path, key_path, option="--key")
    for lower, upper in pairwise(certificates):
        try:
            lower.verify_directly_issued_by(upper)
        except Exception as error:  # ValueError, InvalidSignature
            remedy = "the device's own comes first, then each CA above the one before"
            raise UsageError(f"the certificates in {certificate_path} are no chain", remedy=remedy) from error
    client = Client(identity, tuple(c for c in certificates[1:] if c.issuer != c.subject))
    check_client(identity.certificate, str(certificate_path))
    return client


def check_client(certificate: x509.Certificate, what: str) -> None:
    """Raises `UsageError` unless servers take it as a client's certificate now."""
    now = datetime.now(timezone.utc)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now < end:
        raise UsageError(
            f"{what} is valid only from {start:%Y-%m-%d} to {end:%Y-%m-%d}",
            remedy="make another with: rootlet certs device, or check this computer's clock",
        )
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise UsageError(f"{what} is not for clients (extendedKeyUsage)", remedy="make one with: rootlet certs device")
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise UsageError(f"{what} is a CA", remedy="a CA's key does not belong on a board: rootlet certs device")


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def read_psks(path: Path) -> list[PreSharedKey]:
    """The keys of a file with one `identity:hexadecimal key` a line, as mosquitto's psk_file. Never quotes a line."""
    found = []
    try:
        lines = read_file(path, "the pre-shared keys").decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 text", remedy="it has lines IDENTITY:KEY, as mosquitto's psk_file"
        ) from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        identity, colon, digits = line.strip().rpartition(":")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if not colon or not key:
            raise UsageError(
                f"line {number} of {path} is not IDENTITY:KEY with the key in hexadecimal digits",
                remedy="write it as in mosquitto's psk_file",
            )
        check_identity(identity)
        if not _MIN_PSK_BYTES <= len(key) <= _MAX_PSK_BYTES:
            limits = f"{_MIN_PSK_BYTES} to {_MAX_PSK_BYTES}"
            raise UsageError(
                f"the key in line {number} of {path} has {len(key)} bytes", remedy=f"use {limits} random ones"
            )
        found.append(PreSharedKey(identity, key))
    return found


def check_identity(identity: str) -> None:
    """Raises `UsageError` if a pre-shared key cannot be called so."""
    good = identity.isprintable() and 0 < len(identity.encode()) <= _MAX_IDENTITY_BYTES and ":" not in identity
    if not good or identity.startswith("#") or identity != identity.strip():
        raise UsageError(
            f"{identity!r} cannot name a pre-shared key",
            remedy=f"use 1 to {_MAX_IDENTITY_BYTES} printable characters without a colon",
        )


def find_psk(path: Path, identity: str | None) -> PreSharedKey | None:
    """The key called `identity` in the file, None if it is not there; without `identity` the only one."""
    if identity is not None:
        check_identity(identity)
        known = read_psks(path) if path.exists() else []
        return next((psk for psk in known if psk.identity == identity), None)
    known = read_psks(path)
    if len(known) != 1:
        raise UsageError(f"{path} holds {len(known)} keys", remedy="say which with --identity")
    return known[0]


def make_psk(path: Path, identity: str) -> PreSharedKey:
    """Make a key called `identity` and add it to the file, which only its owner can read from then on."""
    made = PreSharedKey(identity, secrets.token_bytes(PSK_BYTES))
    before = read_file(path, "the pre-shared keys") if path.exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    write_atomic(path, before + made.line, mode=0o600)
    return made


# The board


def require_room(board: Board, files: Mapping[str, bytes | None], *, force: bool) -> None:
    """Raises unless the board has TLS, and either none of the files with another content or `force` is given.

    The content is None if it is not known yet. Nothing is written.
    """
    info = board.identify()
    if not info.has_tls:
        raise HostError("the firmware of the board has no TLS", remedy="see rootlet boards for firmware that has")
    for name, data in () if force else files.items():
        there = board.hash(info.path(name))
        if there is not None and (data is None or there != sha256(data).hexdigest()):
            raise HostError(f"there is another {info.path(name)} on the board", remedy="replace it with --force")


def put_client(board: Board, client: Client) -> list[Placed]:
    """Key and certificate onto the board, after its firmware has shown that it can use them."""
    _try_client(board, client)
    info = board.identify()
    placed = []
    if board.hash(info.path(KEY)) != sha256(client.key).hexdigest():
        for name, data in client.files.items():
            board.require_space(len(data), info.path(name))
        # Never a certificate with another's key: without a certificate the board knows that something is missing.
        board.remove(info.path(CERTIFICATE), missing_ok=True)
    for name, data in client.files.items():
        placed.append(_put(board, data, info.path(name)))
    return placed


def put_psk(board: Board, psk: PreSharedKey) -> list[Placed]:
    """The pre-shared key onto the board, after its firmware has shown that it can use it."""
    _try(
        board,
        "if not hasattr(c, 'psk_key'): raise NotImplementedError\n"
        f" c.psk_identity = {psk.identity.encode()!r}\n c.psk_key = {psk.key!r}",
        "the pre-shared key",
    )
    return [_put(board, psk.line, board.identify().path(PSK))]


def _try_client(board: Board, client: Client) -> None:
    code = f"k = {client.key!r}\n for d in {tuple(client.certificates)!r}: c.load_cert_chain(d, k)"
    _try(board, code, "the key and certificate")


def _try(board: Board, code: str, what: str) -> None:
    """Run `code` on the board with `c`, a fresh tls.SSLContext. Its words are the firmware's, never the code's."""
    program = f"def _t():\n import tls\n c = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\n {code}\n_t()"
    try:
        board.run(program)
    except BoardError as error:
        if error.kind == "NotImplementedError":
            raise HostError(
                "the firmware of the board has no pre-shared keys",
                remedy="use MicroPython 1.29 or later, or a certificate (--cert)",
            ) from None
        last = (error.traceback.strip().splitlines() or ["no message"])[-1]
        raise HostError(f"the firmware of the board refuses {what} ({last})", remedy="use a P-256 key") from None
    finally:
        board.run("try: del _t\nexcept NameError: pass\nimport gc\ngc.collect()")


def _put(board: Board, data: bytes, path: str) -> Placed:
    transfer = board.put(data, path)
    return Placed(path, len(data), transfer.sent == 0)
