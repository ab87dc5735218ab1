"""The command `rootlet keys new`, and the files of a publisher: an encrypted key and a CA certificate."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .errors import HostError, UsageError
from .files import read_file, write_atomic
from .output import out
from .signing import new_publisher_key, publisher_certificate
from .store.sources import single_certificate

PASSPHRASE_VARIABLE = "ROOTLET_PASSPHRASE"  # noqa: S105 - the name of a variable

app = typer.Typer(name="keys", help="Make the key with which you sign stores.", no_args_is_help=True)


@app.callback()
def _keys() -> None:
    """Make the key with which you sign stores."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The publisher's name, also of the files.")],
    directory: Annotated[
        Path, typer.Option("--directory", "-d", metavar="DIR", help="Where to write NAME.key and NAME.pem.")
    ] = Path(),
    existing: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Use this P-256 private key (PEM).", show_default=False),
    ] = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Leave the key unencrypted; only file permissions protect it.")
    ] = False,
) -> None:
    """Make a publisher: NAME.key, the encrypted key, which stays with you, and NAME.pem, the CA certificate for boards.

    The passphrase is asked for, or taken from the environment variable ROOTLET_PASSPHRASE.
    """
    if not name.strip(".") or any(character in name for character in "/\\:\0"):
        raise UsageError(f"{name!r} cannot name files", remedy="choose a name without / \\ and :")
    key_path, certificate_path = directory / f"{name}.key", directory / f"{name}.pem"
    for path in (key_path, certificate_path):
        if path.exists():
            raise UsageError(f"{path} exists", remedy="choose another name or --directory; keys are never overwritten")
    key = new_publisher_key() if existing is None else load_private_key(existing)
    certificate = publisher_certificate(name, key)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if not no_passphrase:
        encryption = serialization.BestAvailableEncryption(
            ask_passphrase(f"New passphrase for {key_path}", confirm=True)
        )
    write_atomic(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
        mode=0o600,
    )
    try:
        write_atomic(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    except HostError:
        key_path.unlink(missing_ok=True)
        raise
    state = "not encrypted" if no_passphrase else "encrypted"
    out.print(f"{key_path}: the key, {state}. Keep it, and a copy of it.", markup=False, soft_wrap=True)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    out.print(f"{certificate_path}: the CA certificate, SHA-256 {fingerprint}", markup=False, soft_wrap=True)


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 private key of a PEM file; asks for the passphrase if it is encrypted."""
    data = read_file(path, "the key")
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:  # encrypted
        try:
            key = serialization.load_pem_private_key(data, ask_passphrase(f"Passphrase for {path}"))
        except ValueError as error:
            raise HostError(f"{path} cannot be decrypted: wrong passphrase") from error
    except Exception as error:  # ValueError, UnsupportedAlgorithm
        raise UsageError(f"{path} is no private key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(f"{path} is not a P-256 key", remedy="make one with: rootlet keys new")
    return key


def load_publisher(
    key_path: Path, certificate_path: Path | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Key and CA certificate; the certificate is NAME.pem beside NAME.key if no path is given."""
    path = certificate_path or key_path.with_suffix(".pem")
    if path == key_path:
        raise UsageError("the publisher's certificate is not named", remedy="give it with --cert")
    certificate = single_certificate(path, "the publisher's certificate")
    return load_private_key(key_path), certificate


def ask_passphrase(prompt: str, *, confirm: bool = False) -> bytes:
    """The passphrase in ROOTLET_PASSPHRASE, else what is typed; `UsageError` if there is nobody to type."""
    text = os.environ.get(PASSPHRASE_VARIABLE)
    if text is None:
        if not sys.stdin.isatty():
            raise UsageError(
                "a passphrase is needed and nobody can be asked for it",
                remedy=f"set {PASSPHRASE_VARIABLE}, or make the key with --no-passphrase",
            )
        text = str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    if not text:
        raise UsageError("the passphrase is empty", remedy="to leave a new key unencrypted give --no-passphrase")
    return text.encode()
