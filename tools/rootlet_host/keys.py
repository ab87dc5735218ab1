"""The files of a publisher, an encrypted key and a CA certificate, and private keys in general."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .errors import HostError, UsageError
from .files import read_file
from .store.sources import single_certificate

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PASSPHRASE_VARIABLE = "ROOTLET_PASSPHRASE"  # noqa: S105 - the name of a variable


def load_key(path: Path, what: str = "the key") -> PrivateKey:
    """The RSA or EC private key of a PEM or DER file; asks for the passphrase if it is encrypted."""
    data = read_file(path, what)
    load = serialization.load_pem_private_key if b"-----BEGIN " in data else serialization.load_der_private_key
    try:
        key = load(data, None)
    except TypeError:  # encrypted
        try:
            key = load(data, ask_passphrase(f"Passphrase for {path}"))
        except HostError:
            raise
        except Exception as error:  # ValueError, UnsupportedAlgorithm
            raise HostError(f"{path} cannot be decrypted: wrong passphrase", remedy="try again") from error
    except Exception as error:  # ValueError, UnsupportedAlgorithm
        raise UsageError(f"{path} is no private key", remedy="give a PEM or DER file with one") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UsageError(f"{path} is neither an EC nor an RSA key", remedy="make one with: rootlet certs")
    return key


def load_publisher_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 private key of a publisher."""
    key = load_key(path)
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
    return load_publisher_key(key_path), certificate


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
