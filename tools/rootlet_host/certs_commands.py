"""The commands `rootlet certs ca`, `server`, `device` and `rig`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
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
    make_ca,
    make_device,
    make_server,
    new_key,
)
from .errors import UsageError
from .files import file_name, make_folder, write_all
from .keys import PrivateKey, ask_passphrase, load_key
from .options import CaKeyOption, Commands, DirectoryOption, ForceOption, JsonOption, NoPassphraseOption, optional
from .output import print_json, say

app = Commands("certs", "Make a private CA, and certificates of servers and devices.")

KeyTypeOption = Annotated[KeyType, typer.Option("--key-type", metavar="p256|rsa2048", help="Kind of the new key.")]
DaysOption = Annotated[
    int, typer.Option("--days", metavar="DAYS", min=1, max=MAX_DAYS, help="How long it is valid, in days.")
]
LeafDaysOption = Annotated[
    int | None,
    optional(
        "--days",
        metavar="DAYS",
        min=1,
        max=MAX_DAYS,
        help=f"How long it is valid, in days. Default: {SERVER_DAYS} for a server, {DEVICE_DAYS} for a device, and "
        "never longer than the CA.",
    ),
]
CaOption = Annotated[Path, typer.Option("--ca", metavar="CA.pem", help="The CA that issues it.")]
KeyOption = Annotated[
    Path | None, optional("--key", metavar="FILE", help="Certify this key, as for a renewal, and write none.")
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


@app.command()
def ca(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The CA's name, also of the files.")],
    directory: DirectoryOption = Path(),
    key_type: KeyTypeOption = KeyType.P256,
    days: DaysOption = CA_DAYS,
    no_passphrase: NoPassphraseOption = False,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a private CA: NAME.key, its encrypted key, which stays with you, and its certificate, NAME.pem and NAME.der.

    The passphrase is asked for, or taken from the environment variable ROOTLET_PASSPHRASE.
    """
    stem = directory / file_name(name)
    made = _Made(make_ca(name, key=new_key(key_type), days=days))
    _require_new([Path(f"{stem}.key"), Path(f"{stem}.pem"), Path(f"{stem}.der")], force)
    passphrase = None if no_passphrase else ask_passphrase(f"New passphrase for {stem}.key", confirm=True)
    _plan(made, stem, passphrase=passphrase, firmware_key=False)
    _write([made], directory, force)
    if as_json:
        print_json(made.described)
        return
    _print_made("CA", made)
    say(f"trust it:   rootlet store build mozilla {stem}.pem, or rootlet.Context(cafile=...) on the board")


@app.command()
def server(
    hosts: Annotated[
        list[str], typer.Argument(metavar="HOST...", help="DNS names (also *.example.org) and IP addresses.")
    ],
    ca: CaOption,
    ca_key: CaKeyOption = None,
    name: Annotated[
        str | None, optional("--name", metavar="NAME", help="Name of the files. Default: the first host.")
    ] = None,
    directory: DirectoryOption = Path(),
    key: KeyOption = None,
    key_type: KeyTypeOption = KeyType.P256,
    days: LeafDaysOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a server's certificate, NAME.pem (what it sends) and NAME.der, and its key, NAME.key and NAME.key.der."""
    files = file_name(name or hosts[0].replace("*", "wildcard").replace(":", "-").strip("[]"))
    issue = _Issue(load_ca(ca, ca_key), (ca, ca_key or ca.with_suffix(".key")), key, key_type)
    issue(lambda certified: make_server(hosts, issue.ca, key=certified, days=days), directory / files, force, as_json)


@app.command()
def device(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The device's name, also of the files.")],
    ca: CaOption,
    ca_key: CaKeyOption = None,
    directory: DirectoryOption = Path(),
    key: KeyOption = None,
    key_type: KeyTypeOption = KeyType.P256,
    days: LeafDaysOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a device's client certificate, NAME.pem and NAME.der, and its key, NAME.key and NAME.key.der."""
    stem = directory / file_name(name)
    issue = _Issue(load_ca(ca, ca_key), (ca, ca_key or ca.with_suffix(".key")), key, key_type)
    issue(lambda certified: make_device(name, issue.ca, key=certified, days=days), stem, force, as_json)
    if key is None and not as_json:
        say(f"put it on a board: rootlet provision --cert {stem}.pem")


@dataclass(frozen=True)
class _Issue:
    """What the certificates of servers and devices are made from: `inputs` are the CA's files, which are spared."""

    ca: Identity
    inputs: tuple[Path, ...]
    key: Path | None
    key_type: KeyType

    def __call__(self, make: Callable[[PrivateKey], Identity], stem: Path, force: bool, as_json: bool) -> None:
        """Make a certificate, write it below the name `stem`, and say so."""
        made = _Made(make(load_key(self.key) if self.key else new_key(self.key_type)))
        _plan(made, stem, issuer=self.ca, with_key=self.key is None)
        _spare(made, *self.inputs, *([self.key] if self.key else []))
        _write([made], stem.parent, force)
        if as_json:
            print_json(made.described)
        else:
            _print_made("server" if made.described["hosts"] else "device", made)


def write_device(identity: Identity, name: str, directory: Path, issuer: Identity) -> list[Path]:
    """Write a new device's files; the paths. `UsageError` if one exists."""
    made = _Made(identity)
    _plan(made, directory / file_name(name), issuer=issuer)
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
    days: DaysOption = 30,
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
    say(f"a server:   openssl s_server -accept 8443 -www -cert {directory}/server.pem -key {directory}/server.key")
    say(f"a store:    rootlet store build {directory}/ca.pem -o {directory}/rig.rtlt")
    say(f"a board:    rootlet provision --cert {directory}/device.pem")


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
    make_folder(directory)
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


def _hosts(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _print_made(what: str, made: _Made) -> None:
    described = made.described
    names = ", ".join(described["hosts"]) or described["subject"]
    say(f"{what}: {names}, valid until {described['not_after'][:10]}, SHA-256 {described['sha256']}")
    notes = {
        "key": "private key",
        "key_der": "the same for firmware (DER)",
        "pem": "certificate",
        "der": "certificate (DER)",
    }
    for name, (path, data, _) in made.files.items():
        note = notes[name] + (", encrypted" if b"ENCRYPTED" in data[:40] else "")
        say(f"  {path}: {note}")
