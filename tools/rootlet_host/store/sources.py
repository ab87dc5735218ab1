"""Where certificates come from: Mozilla's list (certifi), PEM and DER files, folders, NSS's certdata.txt."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509

from ..errors import UsageError
from ..files import read_file
from ..output import count_of
from . import certdata
from .format import der_element, load_certificate

MOZILLA = "mozilla"
_SUFFIXES = {".pem", ".crt", ".cer", ".der", ".cert"}
_CERTIFICATE_LABELS = {b"CERTIFICATE", b"X509 CERTIFICATE"}
_BEGIN = re.compile(rb"^(?:\xef\xbb\xbf)?-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class SourceCertificate:
    """A certificate and where it stands: `number` counts from 1 within `source`."""

    certificate: x509.Certificate
    source: str
    number: int
    distrust_after: int | None = None

    @property
    def place(self) -> str:
        """For messages: `certificate 3 of ca.pem`."""
        return f"certificate {self.number} of {self.source}"


@dataclass
class Source:
    """What one SOURCE argument gave. `public` marks lists of web CAs, in which one unfit certificate is only
    noted and skipped; in a file the user made it is an error. `released_at` is the date of the list, or 0."""

    name: str
    certificates: list[SourceCertificate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    public: bool = False
    released_at: int = 0


def mozilla_certificates() -> list[x509.Certificate]:
    """The roots of Mozilla's programme as certifi ships them."""
    return [entry.certificate for entry in read_source(MOZILLA).certificates]


def read_source(text: str) -> Source:
    """Read one source: `mozilla`, or the path of a PEM or DER file, of a folder, or of NSS's certdata.txt.

    Raises `UsageError` that names the file and the number of the first bad certificate in it.
    """
    if text == MOZILLA:
        return _read_mozilla()
    path = Path(text)
    if path.is_dir():
        return _read_folder(path)
    return _read_one(path)


def single_certificate(path: Path, what: str) -> x509.Certificate:
    """The only certificate of a file."""
    source = read_source(str(path))
    if len(source.certificates) != 1:
        raise UsageError(
            f"{path} holds {len(source.certificates)} certificates; {what} must stand alone",
            remedy="name a file with this one only",
        )
    certificate = source.certificates[0].certificate
    try:
        certificate.public_key()
    except Exception as error:  # cryptography answers with several classes
        raise UsageError(
            f"{path} has a key that cannot be read", remedy="the file is damaged, or its key exotic"
        ) from error
    return certificate


def _read_mozilla() -> Source:
    import certifi

    source = Source(MOZILLA, public=True, released_at=_certifi_date(certifi.__version__))
    source.certificates = _parse_file(read_file(Path(certifi.where()), "certifi's roots"), MOZILLA, source.notes)
    return source


def _certifi_date(version: str) -> int:
    """certifi's version is the date of its release: 2026.10.18. 0 if it is not one."""
    found = re.match(r"(\d{4})\.(\d{1,2})\.(\d{1,2})", version)
    if found is None:
        return 0
    try:
        year, month, day = (int(part) for part in found.groups())
        return int(datetime(year, month, day, tzinfo=timezone.utc).timestamp())
    except ValueError:
        return 0


def _read_folder(path: Path) -> Source:
    source = Source(str(path))
    ignored = 0
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix.lower() not in _SUFFIXES:
            ignored += 1
            continue
        part = _read_one(file)
        source.certificates += part.certificates
        source.notes += part.notes
    if not source.certificates:
        names = ", ".join(sorted(_SUFFIXES))
        raise UsageError(f"no certificates in the folder {path}", remedy=f"files are taken that end in {names}")
    if ignored:
        source.notes.append(f"{path}: {count_of(ignored, 'file')} ignored, not named as a certificate")
    return source


def _read_one(path: Path) -> Source:
    data = read_file(path, "certificates from")
    name = path.name
    if certdata.is_certdata(data):
        source = Source(name, public=True)
        for number, entry in enumerate(certdata.parse(data, name), 1):
            certificate = _load(entry.der, f"certificate {number} of {name}")
            source.certificates.append(SourceCertificate(certificate, name, number, entry.distrust_after))
        source.notes.append(f"{name}: only roots that Mozilla trusts for servers are taken")
        return source
    source = Source(name)
    source.certificates = _parse_file(data, name, source.notes)
    return source


def _parse_file(data: bytes, name: str, notes: list[str]) -> list[SourceCertificate]:
    """Every certificate of a PEM or DER file, or `UsageError` with the number of the bad one."""
    ders = _split_pem(data, name, notes) if b"-----BEGIN " in data else _split_der(data, name)
    found = [
        SourceCertificate(_load(der, f"certificate {number} of {name}"), name, number)
        for number, der in enumerate(ders, 1)
    ]
    if not found:
        raise UsageError(f"no certificate in {name}", remedy="give a PEM or DER file with X.509 certificates")
    return found


def _split_pem(data: bytes, name: str, notes: list[str]) -> Iterator[bytes]:
    """The DER of each certificate block (RFC 7468). Keys and other blocks are noted and left out."""
    number = 0
    at = 0
    while found := _BEGIN.search(data, at):
        label = found.group(1)
        is_certificate = label in _CERTIFICATE_LABELS
        number += is_certificate
        what = f"certificate {number} of {name}" if is_certificate else f"the {label.decode()} block in {name}"
        closing = re.compile(rb"^-----END " + re.escape(label) + rb"-----[ \t]*\r?$", re.MULTILINE)
        end = closing.search(data, found.end())
        following = _BEGIN.search(data, found.end())
        if end is None or (following is not None and following.start() < end.start()):
            raise UsageError(f"{what} has no END line", remedy="the file is cut short or damaged")
        at = end.end()
        if is_certificate:
            yield _decode_base64(data[found.end() : end.start()], what)
        elif label == b"TRUSTED CERTIFICATE":
            raise UsageError(
                f"{name} holds OpenSSL's TRUSTED CERTIFICATE, which has bytes after the certificate",
                remedy="convert it with: openssl x509 -in FILE -out ca.pem",
            )
        elif b"PRIVATE KEY" in label:
            notes.append(f"{name}: a private key is ignored; it has no place in a file of certificates")
        else:
            notes.append(f"{name}: a block {label.decode()} is ignored")


def _decode_base64(text: bytes, what: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error as error:
        raise UsageError(f"{what} is damaged: it is not base64 ({error})", remedy="copy the file again") from error


def _split_der(data: bytes, name: str) -> Iterator[bytes]:
    """The certificates of a DER file, one after the other without anything between them or after the last."""
    at = 0
    number = 1
    while at < len(data):
        try:
            end = der_element(data, at)[1]
            is_sequence = data[at] == 0x30
        except ValueError:
            is_sequence = False
        if not is_sequence:
            if number == 1:
                raise UsageError(f"{name} is neither PEM nor DER", remedy="give a file with X.509 certificates")
            raise UsageError(
                f"certificate {number - 1} of {name} has {len(data) - at} bytes after it", remedy="copy the file again"
            )
        yield data[at:end]
        at = end
        number += 1


def _load(der: bytes, what: str) -> x509.Certificate:
    try:
        end = der_element(der, 0)[1]
    except ValueError:
        end = -1
    if 0 <= end < len(der):
        raise UsageError(f"{what} has {len(der) - end} bytes after it", remedy="the file is damaged")
    try:
        return load_certificate(der)
    except Exception as error:  # cryptography answers with several classes
        raise UsageError(
            f"{what} is not an X.509 certificate: {error}", remedy="copy the file again, or name another one"
        ) from error
