"""The configuration of a board: `rootlet.toml` on the host becomes the compact `rootlet.json` on the board.

What a key may be is said once, in the device's own `rootlet/config.py`, which is loaded here and asked.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from .errors import HostError, UsageError
from .files import read_file
from .paths import device_library

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PASSWORD_VARIABLE = "ROOTLET_WIFI_PASSWORD"  # noqa: S105 - the name of a variable
PSK_VARIABLE = "ROOTLET_PSK_KEY"
DEFAULT_STORE = "certs/roots.rtlt"
_DEVICE_PACKAGE = "_rootlet_on_the_device"
_MAX_JSON_BYTES = 8192  # what config.py reads


def read_toml(path: Path) -> dict[str, Any]:
    """What the file says. Raises `UsageError` when it cannot be read or is no TOML."""
    try:
        return tomllib.loads(read_file(path, "the configuration").decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        reason = str(error).splitlines()[0] if not isinstance(error, UnicodeError) else "not UTF-8"
        raise UsageError(f"{path} is not TOML: {reason}", remedy="correct it; docs/deploy.md has an example") from error


def check_url(url: str) -> None:
    """Refuse what the board would refuse, before anything is started."""
    try:
        parts = urlsplit(url)
        good = parts.scheme.lower() == "https" and bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        good = good and url.isprintable()
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"cannot fetch {url!r}", remedy="give https://host[:port]/path")


def check(settings: dict[str, Any], where: str) -> dict[str, Any]:
    """`settings` with every default filled in, checked by the board's own rules.

    Raises `UsageError` that names the key; `where` is the file to correct.
    """
    device = _device_module("config")
    try:
        checked: dict[str, Any] = device.check(settings)
    except Exception as error:
        # Only the device's ConfigError has these; everything else is a fault of ours.
        message = getattr(error, "message", None)
        if message is None:
            raise
        remedy = str(getattr(error, "remedy", ""))
        if remedy.startswith("Correct rootlet.toml"):
            remedy = f"correct {where}; docs/deploy.md lists the keys"
        raise UsageError(f"{where}: {message}", remedy=remedy[:1].lower() + remedy[1:]) from error
    return checked


def compact(settings: dict[str, Any], root: str = "/") -> bytes:
    """The content of rootlet.json: only what was given, without spaces.

    `root` is where the board's internal file system is mounted; the store's default path lies there.
    """
    if root != "/" and "stores" not in settings and "psk_key" not in settings:
        settings = {**settings, "stores": [root.rstrip("/") + "/" + DEFAULT_STORE]}
    data = json.dumps(settings, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    if len(data) > _MAX_JSON_BYTES:
        raise UsageError(
            f"the configuration has {len(data)} bytes, the board reads {_MAX_JSON_BYTES}", remedy="shorten it"
        )
    return data


def with_password(
    settings: dict[str, Any],
    path: Path,
    on_board: dict[str, Any] | None,
    ask: Callable[[str], str] | None,
) -> tuple[dict[str, Any], str]:
    """`settings` with the Wi-Fi password, and where it came from in words ("" if none is needed).

    In this order: the environment, the file, the board (if it knows the same network), `ask(ssid)`. A file that git
    keeps must not hold one. Raises `UsageError` when there is none; an empty one stands for an open network.
    """
    network = settings.get("network")
    if not isinstance(network, dict) or network.get("kind") != "wifi":
        return settings, ""
    before = on_board.get("network") if on_board else None
    known = before if isinstance(before, dict) and before.get("ssid") == network.get("ssid") else {}
    password, source = _secret(
        network.get("password"),
        PASSWORD_VARIABLE,
        path,
        known.get("password"),
        lambda: ask(str(network.get("ssid", ""))) if ask else None,
        name="network.password",
        what="the password of the Wi-Fi",
        hint=" (empty for an open network)",
    )
    return {**settings, "network": {**network, "password": password}}, source


def with_psk_key(
    settings: dict[str, Any],
    path: Path,
    on_board: dict[str, Any] | None,
    ask: Callable[[str], str] | None,
) -> tuple[dict[str, Any], str]:
    """`settings` with the pre-shared key, and where it came from, as `with_password`. `ask` gets the identity."""
    identity = settings.get("psk_identity")
    if identity is None:
        return settings, ""
    known = on_board.get("psk_key") if on_board and on_board.get("psk_identity") == identity else None
    key, source = _secret(
        settings.get("psk_key"),
        PSK_VARIABLE,
        path,
        known,
        lambda: ask(str(identity)) if ask else None,
        name="psk_key",
        what="the pre-shared key",
    )
    return {**settings, "psk_key": key}, source


def without_secrets(settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` that can be checked before the pre-shared key is known: with a key that is none."""
    return {"psk_key": "0" * 32, **settings} if "psk_identity" in settings else settings


def check_kept_secrets(settings: dict[str, Any], path: Path) -> None:
    """Raise `UsageError` if git keeps a password for the proxy or the modem's network, or a SIM's PIN.

    The other secrets have other ways to the board: `with_password`, `with_psk_key`.
    """
    tables = [settings.get(name) for name in ("job", "modem")]
    job, modem = ((table if isinstance(table, dict) else {}) for table in tables)
    held = [("a password in job.proxy", "@" in str(job.get("proxy")))]
    held += [("a password in modem.password", bool(modem.get("password")))]
    held += [("the SIM's PIN in modem.pin", "pin" in modem)]
    for what, found in held:
        if found and _is_in_git(path):
            raise UsageError(
                f"{path} holds {what} and is kept by git",
                remedy="keep rootlet.toml out of git; change it if it was published",
            )


def client_identity(cert: Path | None, key: Path | None) -> tuple[bytes | None, bytes | None]:
    """The content of the board's own certificate and key. Raises `UsageError` if they cannot be used together.

    Says nothing of what the key is. A key that git keeps is refused.
    """
    certificate = read_file(cert, "the client certificate") if cert else None
    private = read_file(key, "the client's key") if key else None
    if key is not None and _is_in_git(key):
        raise UsageError(f"{key} is kept by git", remedy="keep keys out of git; make a new one if it was published")
    both = private if private is not None else certificate
    if certificate is None or both is None:
        return certificate, private
    loaded = _load_key(both, key or cert)
    if loaded is not None and loaded.public_key() != _load_certificate(certificate, cert).public_key():
        raise UsageError(
            f"{key or cert} does not belong to {cert}",
            remedy="give the key that the certificate was made for; of several, the board's own comes first",
        )
    return certificate, private


def _load_certificate(data: bytes, path: Path | None) -> x509.Certificate:
    try:
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
        certificate = load(data)
        certificate.public_key()  # must be one that can be read
        return certificate
    except Exception as error:  # cryptography answers with several classes
        raise UsageError(f"{path} holds no certificate", remedy="give the board's certificate, PEM or DER") from error


def _load_key(data: bytes, path: Path | None) -> PrivateKeyTypes | None:
    """None for a certificate without a key in its file: the key may be on the board already."""
    if b"-----BEGIN" in data and b"PRIVATE KEY-----" not in data:
        return None
    load = serialization.load_pem_private_key if b"-----BEGIN" in data else serialization.load_der_private_key
    try:
        key = load(data, None)
    except TypeError as error:
        raise UsageError(
            f"{path} is encrypted, and a board has nobody to ask for the passphrase",
            remedy="decrypt it: openssl pkey -in KEY -out NEWKEY",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"-----BEGIN" not in data:
            return None  # a certificate in DER
        raise UsageError(f"{path} holds no private key", remedy="give an EC or RSA key, PEM or DER") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UsageError(f"{path} is neither an EC nor an RSA key", remedy="Mbed TLS has no other: use P-256")
    return key


def _secret(
    in_file: Any,
    variable: str,
    path: Path,
    on_board: Any,
    ask: Callable[[], str | None],
    *,
    name: str,
    what: str,
    hint: str = "",
) -> tuple[Any, str]:
    """(the secret, where it came from). Raises `UsageError` if it is nowhere, or in a file that git keeps."""
    if in_file is not None and _is_in_git(path):
        raise UsageError(
            f"{path} holds {name} and is kept by git",
            remedy=f"take it out and set {variable}; change it if it was published",
        )
    if variable in os.environ:
        return os.environ[variable], f"from {variable}"
    if in_file is not None:
        return in_file, f"from {path}"
    if on_board is not None:
        return str(on_board), "kept, as it is on the board"
    typed = ask()
    if typed is not None:
        return typed, "as typed"
    raise UsageError(f"{what} is not known", remedy=f"set {variable}{hint}, or run this in a terminal to be asked")


def _is_in_git(path: Path) -> bool:
    command = ["git", "ls-files", "--error-unmatch", "--", path.name]
    try:
        done = subprocess.run(command, cwd=path.resolve().parent, capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False  # no git: nothing is kept by it
    return done.returncode == 0


def _device_module(name: str) -> Any:
    """A module of the device package that CPython can run, without the package itself, which needs module tls."""
    folder = device_library() / "rootlet"
    if _DEVICE_PACKAGE not in sys.modules:
        package = types.ModuleType(_DEVICE_PACKAGE)
        package.__path__ = [str(folder)]
        sys.modules[_DEVICE_PACKAGE] = package
    try:
        return importlib.import_module(f"{_DEVICE_PACKAGE}.{name}")
    except ImportError as error:
        raise HostError(f"{folder / name}.py cannot be loaded: {error}", remedy="reinstall rootlet") from error
