"""The command `rootlet provision`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography.hazmat.primitives import hashes

from .board.transport import Board, LinkError
from .certs import MAX_DAYS, Identity, KeyType, load_ca, make_device, new_key
from .certs_commands import write_device
from .errors import HostError, UsageError
from .options import CaKeyOption, ForceOption, JsonOption, PortOption, optional
from .output import plain, print_json, say
from .provision import (
    CERTIFICATE,
    KEY,
    PSK,
    Placed,
    find_psk,
    load_client,
    make_psk,
    put_client,
    put_psk,
    require_room,
)


def provision(
    cert: Annotated[
        Path | None, optional("--cert", metavar="NAME.pem", help="Put this certificate and its key on the board.")
    ] = None,
    key: Annotated[Path | None, optional("--key", metavar="FILE", help="The key. Default: NAME.key.")] = None,
    ca: Annotated[
        Path | None, optional("--ca", metavar="CA.pem", help="Make a key and let this CA certify it, then put both on.")
    ] = None,
    ca_key: CaKeyOption = None,
    name: Annotated[str | None, optional("--name", metavar="NAME", help="With --ca: name of device and files.")] = None,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", metavar="DIR", help="With --ca: where to keep the new files.")
    ] = Path(),
    key_type: Annotated[
        KeyType, typer.Option("--key-type", metavar="p256|rsa2048", help="With --ca: kind of the new key.")
    ] = KeyType.P256,
    days: Annotated[
        int | None,
        optional("--days", metavar="DAYS", min=1, max=MAX_DAYS, help="With --ca: how long the certificate is valid."),
    ] = None,
    psk: Annotated[
        Path | None,
        optional(
            "--psk",
            metavar="FILE",
            help="Put a pre-shared key on the board: FILE has lines IDENTITY:KEY, as mosquitto's psk_file.",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        optional(
            "--identity",
            metavar="NAME",
            help="With --psk: the key called so; it is made and added to FILE if it is not there.",
        ),
    ] = None,
    port: PortOption = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put a device's certificate, or its pre-shared key, on a board.

    Keys are made on this computer, in files that only you can read, and are never printed.

    The board's firmware must show that it can use them before anything is written.
    """
    if sum(option is not None for option in (cert, ca, psk)) != 1:
        raise UsageError("one of --cert, --ca and --psk is needed", remedy="see rootlet provision --help")
    if (ca is None) != (name is None):
        raise UsageError("--ca and --name belong together", remedy="give both, or neither")
    for option, owner, given in (("--key", "--cert", cert), ("--ca-key", "--ca", ca), ("--identity", "--psk", psk)):
        value = {"--key": key, "--ca-key": ca_key, "--identity": identity}[option]
        if value is not None and given is None:
            raise UsageError(f"{option} is for {owner}", remedy=f"give {owner}, or leave it out")
    if psk is not None:
        _provision_psk(psk, identity, port, force, as_json)
        return
    # What is wrong on this computer is said before the board is asked.
    client = load_client(cert, key) if cert is not None else None
    issuer = load_ca(ca, ca_key) if ca is not None else None
    made: list[Path] = []
    with Board(port) as board:
        require_room(board, client.files if client else {KEY: None, CERTIFICATE: None}, force=force)
        if client is None:
            if issuer is None or name is None:  # for the type checker: one of both was given
                raise UsageError("--ca and --name belong together", remedy="give both, or neither")
            device = make_device(name, issuer, key=new_key(key_type), days=days)
            cert = directory / f"{name}.pem"
            made = _write(device, name, cert, issuer)
            client = load_client(cert)
        try:
            placed = put_client(board, client)
        except HostError as error:
            if made:
                raise HostError(
                    f"{error.message}; {cert} and its key were made and are kept",
                    remedy=f"{error.remedy}, then go on with: rootlet provision --cert {cert}",
                ) from error
            if not isinstance(error, LinkError):
                raise
            raise LinkError(
                f"{error.message}; the board may be without its certificate now",
                remedy=f"{error.remedy}, then give the same command again",
            ) from error
        device_port = board.port
    certificate = client.identity.certificate
    result: dict[str, Any] = {
        "port": device_port,
        "subject": certificate.subject.rfc4514_string(),
        "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "made": [str(path) for path in made],
    }
    summary = f"{plain(result['subject'])}, valid until {result['not_after'][:10]}, SHA-256 {result['sha256']}"
    _report(result, placed, summary, as_json)


def _write(device: Identity, name: str, cert: Path, issuer: Identity) -> list[Path]:
    try:
        return write_device(device, name, cert.parent, issuer)
    except UsageError as error:
        if not cert.exists():
            raise
        remedy = f"put what is there on the board with --cert {cert}, or choose another name or directory"
        raise UsageError(error.message, remedy=remedy) from error


def _provision_psk(path: Path, identity: str | None, port: str | None, force: bool, as_json: bool) -> None:
    if identity is None and not path.exists():
        raise UsageError(f"there is no {path}", remedy="to make a key give --identity NAME")
    chosen = find_psk(path, identity)
    new = chosen is None
    with Board(port) as board:
        require_room(board, {PSK: chosen.line if chosen else None}, force=force)
        if chosen is None:
            chosen = make_psk(path, identity or "")
        placed = put_psk(board, chosen)
        device_port = board.port
    made = [str(path)] if new else []
    result = {"port": device_port, "identity": chosen.identity, "made": made}
    _report(result, placed, f"pre-shared key {chosen.identity}, {len(chosen.key)} bytes", as_json)


def _report(result: dict[str, Any], placed: list[Placed], summary: str, as_json: bool) -> None:
    if as_json:
        files = [{"path": entry.path, "bytes": entry.size, "unchanged": entry.unchanged} for entry in placed]
        print_json({**result, "files": files})
        return
    for path in result["made"]:
        say(f"{path}: made on this computer")
    for entry in placed:
        state = "there already" if entry.unchanged else "written and read back"
        say(f"{result['port']}: {entry.path}, {entry.size} bytes, {state}")
    say(f"the firmware can use it: {summary}")
