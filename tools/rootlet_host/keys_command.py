"""The command `rootlet keys new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives import hashes, serialization

from .errors import UsageError
from .files import file_name, make_folder, write_all
from .keys import ask_passphrase, load_publisher_key
from .options import Commands, DirectoryOption, JsonOption, NoPassphraseOption, optional
from .output import print_json, say
from .signing import new_publisher_key, publisher_certificate

app = Commands("keys", "Make the key with which you sign stores.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The publisher's name, also of the files.")],
    directory: DirectoryOption = Path(),
    existing: Annotated[
        Path | None, optional("--from", metavar="FILE", help="Use this P-256 private key (PEM or DER).")
    ] = None,
    no_passphrase: NoPassphraseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a publisher: NAME.key, the encrypted key, which stays with you, and NAME.pem, the CA certificate for boards.

    The passphrase is asked for, or taken from the environment variable ROOTLET_PASSPHRASE.
    """
    file_name(name)
    key_path, certificate_path = directory / f"{name}.key", directory / f"{name}.pem"
    for path in (key_path, certificate_path):
        if path.exists():
            raise UsageError(f"{path} exists", remedy="choose another name or --directory; keys are never overwritten")
    key = new_publisher_key() if existing is None else load_publisher_key(existing)
    certificate = publisher_certificate(name, key)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if not no_passphrase:
        encryption = serialization.BestAvailableEncryption(
            ask_passphrase(f"New passphrase for {key_path}", confirm=True)
        )
    make_folder(directory)
    key_data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    certificate_data = certificate.public_bytes(serialization.Encoding.PEM)
    write_all([(key_path, key_data, 0o600), (certificate_path, certificate_data, 0o644)])
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    if as_json:
        files = {"key": str(key_path), "pem": str(certificate_path)}
        print_json({"name": name, "sha256": fingerprint, "encrypted": not no_passphrase, "files": files})
        return
    state = "not encrypted" if no_passphrase else "encrypted"
    say(f"{key_path}: the key, {state}. Keep it, and a copy of it.")
    say(f"{certificate_path}: the CA certificate, SHA-256 {fingerprint}")
