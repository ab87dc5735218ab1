"""The commands `rootlet certs ca`, `server`, `device` and `rig`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from .certs import (
    CA_DAYS,
    DEVICE_DAYS,
    MAX_DAYS,
    SERVER_DAYS,
    Identity,
    KeyType,
    load_ca,
    load_key,
    make_ca,
    make_device,
    make_server,
    new_key,
    write_all,
)
from .errors import HostError, UsageError
from .keys import ask_passphrase
from .output import out, print_json

app = typer.Typer(
    name="certs", help="Make a private CA, and certificates of servers and devices.", no_args_is_help=True
)

DirectoryOption = Annotated[Path, typer.Option("--directory", "-d", metavar="DIR", help="Where to write the files.")]
KeyTypeOption = Annotated[KeyType, typer.Option("--key-type", help="Kind of the new key.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace files that exist, keys included.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CaOption = Annotated[Path, typer.Option("--ca", metavar="CA.pem", help="The CA that issues it.")]
CaKeyOption = Annotated[
    Path | None, typer.Option("--ca-key", metavar="FILE", help="The CA's key. Default: CA.key.", show_default=False)
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help="Certify this key, as for a renewal, and write none.", show_default=False
    ),
]


@dataclass
class _Made:
    """An identity and the files that it goes into: name -> (path, data, permissions)."""

    identity: Identity
    files: dict[str, tuple[Path, bytes, int]] = field(default_factory=dict)

    @property
    def described(self) -> dict[str, Any]:
        certificate = self.identity.certificate
        return {
            "subject": certificate.subject.rfc4514_string(),
            "issuer": certificate.issuer.rfc4514_string(),
            "hosts": _hosts(certificate),
            "not_before": certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
            "files": {name: str(path) for name, (path, _, _) in self.files.items()},
        }


@app.callback()
def _certs() -> None:
    """Make a private CA, and certificates of servers and devices."""


@app.command()
def ca(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The CA's name, also of the files.")],
    directory: DirectoryOption = Path(),
    key_type: KeyTypeOption = KeyType.P256,
    days: Annotated[int, typer.Option("--days", min=1, max=MAX_DAYS, help="How long it is valid.")] = CA_DAYS,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Leave the key unencrypted; only file permissions protect it.")
    ] = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a private CA: NAME.key, its encrypted key, which stays with you, and its certificate, NAME.pem and NAME.der.

    The passphrase is asked for, or taken from the environment variable ROOTLET_PASSPHRASE.
    """
    stem = directory / _file_name(name)
    made = _Made(make_ca(name, key=new_key(key_type), days=days))
    _require_new([Path(f"{stem}.key"), Path(f"{stem}.pem"), Path(f"{stem}.der")], force)
    passphrase = None if no_passphrase else ask_passphrase(f"New passphrase for {stem}.key", confirm=True)
    _plan(made, stem, passphrase=passphrase, firmware_key=False)
    _write([made], directory, force)
    if as_json:
        print_json(made.described)
        return
    _print_made("CA", made)
    _say(f"trust it:   rootlet store build mozilla {stem}.pem, or rootlet.Context(cafile=...) on the board")


@app.command()
def server(
    hosts: Annotated[
        list[str], typer.Argument(metavar="HOST...", help="DNS names (also *.example.org) and IP addresses.")
    ],
    ca: CaOption,
    ca_key: CaKeyOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the files. Default: the first host.", show_default=False)
    ] = None,
    directory: DirectoryOption = Path(),
    key: KeyOption = None,
    key_type: KeyTypeOption = KeyType.P256,
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            min=1,
            max=MAX_DAYS,
            help=f"How long it is valid. Default: {SERVER_DAYS}, or as long as the CA.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a server's certificate, NAME.pem (what it sends) and NAME.der, and its key, NAME.key and NAME.key.der."""
    stem = directory / _file_name(name or hosts[0].replace("*", "wildcard").replace(":", "-").strip("[]"))
    issuer = load_ca(ca, ca_key)
    made = _Made(make_server(hosts, issuer, key=load_key(key) if key else new_key(key_type), days=days))
    _plan(made, stem, issuer=issuer, with_key=key is None)
    _spare(made, ca, ca_key or ca.with_suffix(".key"), *([key] if key else []))
    _write([made], directory, force)
    if as_json:
        print_json(made.described)
    else:
        _print_made("server", made)


@app.command()
def device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device's name, also of the files.")],
    ca: CaOption,
    ca_key: CaKeyOption = None,
    directory: DirectoryOption = Path(),
    key: KeyOption = None,
    key_type: KeyTypeOption = KeyType.P256,
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            min=1,
            max=MAX_DAYS,
            help=f"How long it is valid. Default: {DEVICE_DAYS}, or as long as the CA.",
            show_default=False,
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a device's client certificate, NAME.pem and NAME.der, and its key, NAME.key and NAME.key.der."""
    stem = directory / _file_name(name)
    issuer = load_ca(ca, ca_key)
    made = _Made(make_device(name, issuer, key=load_key(key) if key else new_key(key_type), days=days))
    _plan(made, stem, issuer=issuer, with_key=key is None)
    _spare(made, ca, ca_key or ca.with_suffix(".key"), *([key] if key else []))
    _write([made], directory, force)
    if as_json:
        print_json(made.described)
        return
    _print_made("device", made)
    if key is None:
        _say(f"put it on a board: rootlet provision --cert {stem}.pem")


def write_device(identity: Identity, name: str, directory: Path, issuer: Identity) -> list[Path]:
    """Write a new device's files; the paths. `UsageError` if one exists."""
    made = _Made(identity)
    _plan(made, directory / _file_name(name), issuer=issuer)
    _write([made], directory, force=False)
    return [path for path, _, _ in made.files.values()]


@app.command()
def rig(
    hosts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[HOST]...",
            help="The server's names and addresses. Default: localhost 127.0.0.1 ::1.",
            show_default=False,
        ),
    ] = None,
    directory: DirectoryOption = Path("rig"),
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="The device's name.")] = "device",
    key_type: KeyTypeOption = KeyType.P256,
    days: Annotated[int, typer.Option("--days", min=1, max=MAX_DAYS, help="How long all three are valid.")] = 30,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a test rig at once: a CA, a server and a device, as ca.*, server.* and device.* in DIR.

    No key is encrypted, so it is for tests only.
    """
    # Two rigs in one trust store must not have the same name.
    authority = make_ca(f"rootlet rig CA {secrets.token_hex(4)}", key=new_key(key_type), days=days)
    addresses = hosts or ["localhost", "127.0.0.1", "::1"]
    made = {
        "ca": _Made(authority),
        "server": _Made(make_server(addresses, authority, key=new_key(key_type))),
        "device": _Made(make_device(device, authority, key=new_key(key_type))),
    }
    for name, identity in made.items():
        _plan(identity, directory / name, issuer=authority, firmware_key=name != "ca")
    _write(list(made.values()), directory, force)
    if as_json:
        print_json({name: identity.described for name, identity in made.items()})
        return
    for name, identity in made.items():
        _print_made("CA" if name == "ca" else name, identity)
    _say(f"a server:   openssl s_server -accept 8443 -www -cert {directory}/server.pem -key {directory}/server.key")
    _say(f"a store:    rootlet store build {directory}/ca.pem -o {directory}/rig.rtlt")
    _say(f"a board:    rootlet provision --cert {directory}/device.pem")


def _plan(
    made: _Made,
    stem: Path,
    *,
    issuer: Identity | None = None,
    passphrase: bytes | None = None,
    with_key: bool = True,
    firmware_key: bool = True,
) -> None:
    """Name the files of `made`. Keys come first, and only their owner may read them."""
    identity = made.identity
    if with_key:
        made.files["key"] = (Path(f"{stem}.key"), identity.key_pem(passphrase), 0o600)
        if firmware_key:
            made.files["key_der"] = (Path(f"{stem}.key.der"), identity.key_der, 0o600)
    pem = identity.pem
    if issuer is not None and issuer.certificate.subject != issuer.certificate.issuer:
        pem += issuer.pem  # an intermediate CA: who verifies this needs it, too
    made.files["pem"] = (Path(f"{stem}.pem"), pem, 0o644)
    made.files["der"] = (Path(f"{stem}.der"), identity.der, 0o644)


def _write(made: list[_Made], directory: Path, force: bool) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(f"cannot make the directory {directory}: {error.strerror}") from error
    write_all([entry for identity in made for entry in identity.files.values()], force=force)


def _spare(made: _Made, *inputs: Path) -> None:
    """Refuse to replace what the certificate is made from, also with --force."""
    for path, _, _ in made.files.values():
        if any(path.resolve() == used.resolve() for used in inputs):
            raise UsageError(f"{path} is what the certificate is made from", remedy="choose another name or directory")


def _require_new(paths: list[Path], force: bool) -> None:
    """Before a passphrase is asked for."""
    for path in paths:
        if path.exists() and not force:
            raise UsageError(f"{path} exists", remedy="choose another name or directory, or replace it with --force")


def _file_name(name: str) -> str:
    if not name.strip(". ") or any(character in name for character in "/\\:\0") or not name.isprintable():
        raise UsageError(f"{name!r} cannot name files", remedy="choose a name without / \\ and :")
    return name


def _hosts(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _print_made(what: str, made: _Made) -> None:
    described = made.described
    names = ", ".join(described["hosts"]) or described["subject"]
    _say(f"{what}: {names}, valid until {described['not_after'][:10]}, SHA-256 {described['sha256']}")
    notes = {
        "key": "private key",
        "key_der": "the same for firmware (DER)",
        "pem": "certificate",
        "der": "certificate (DER)",
    }
    for name, (path, data, _) in made.files.items():
        note = notes[name] + (", encrypted" if b"ENCRYPTED" in data[:40] else "")
        _say(f"  {path}: {note}")


def _say(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
