"""NSS's certdata.txt: Mozilla's root list with what certifi leaves out, the dates from which a root is distrusted.

The file is a list of PKCS #11 objects in text form. A root is a CKO_CERTIFICATE object and a CKO_NSS_TRUST
object with the same issuer and serial number. See Mozilla's runbook "Updating NSS's Root Store".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from ..errors import UsageError

_TRUSTED = "CKT_NSS_TRUSTED_DELEGATOR"
_DISTRUST_AFTER = "CKA_NSS_SERVER_DISTRUST_AFTER"
_OCTAL_LINE = re.compile(r"(?:\\[0-3][0-7]{2})+")

# An attribute is text (with its type left out), or the bytes of a MULTILINE_OCTAL.
_Object = dict[str, str | bytes]


@dataclass(frozen=True)
class Root:
    """A root trusted for servers, with the time in seconds since 1970 after which its new leaves are not."""

    label: str
    der: bytes
    distrust_after: int | None


def is_certdata(data: bytes) -> bool:
    """Whether a file looks like certdata.txt."""
    return b"CKA_CLASS CK_OBJECT_CLASS" in data


def parse(data: bytes, name: str) -> list[Root]:
    """The roots of certdata.txt that are trusted for servers; `UsageError` with the line of the first fault."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is damaged: not UTF-8 at byte {error.start}", remedy="fetch it again") from error
    certificates: list[_Object] = []
    trust: dict[tuple[bytes, bytes], _Object] = {}
    for entry in _objects(text.splitlines(), name):
        kind = entry["CKA_CLASS"]
        if kind == "CKO_CERTIFICATE":
            certificates.append(entry)
        elif kind == "CKO_NSS_TRUST":
            trust[_identity(entry, name)] = entry
    roots = []
    for certificate in certificates:
        trusted = trust.get(_identity(certificate, name))
        label = str(certificate.get("CKA_LABEL", ""))
        if trusted is None or trusted.get("CKA_TRUST_SERVER_AUTH") != _TRUSTED:
            continue
        # The date stands in the certificate object as a rule, in the trust object for some roots.
        dates = [_distrust_after(entry, label, name) for entry in (certificate, trusted)]
        roots.append(Root(label, _bytes(certificate, "CKA_VALUE", name), min((d for d in dates if d), default=None)))
    if not roots:
        raise UsageError(f"no root in {name} is trusted for servers", remedy="give Mozilla's file as it is")
    return roots


def _objects(lines: list[str], name: str) -> Iterator[_Object]:
    current: _Object | None = None
    number = 0
    while number < len(lines):
        line = lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        attribute, _, rest = line.partition(" ")
        value_type, _, value = rest.partition(" ")
        if attribute == "CKA_CLASS":
            if current is not None:
                yield current
            current = {}
        if current is None:  # BEGINDATA and what stands before it
            continue
        if value_type == "MULTILINE_OCTAL":
            current[attribute], number = _octal(lines, number, attribute, name)
        else:
            current[attribute] = value.strip('"')
    if current is not None:
        yield current


def _octal(lines: list[str], number: int, attribute: str, name: str) -> tuple[bytes, int]:
    start = number
    result = bytearray()
    while number < len(lines) and (line := lines[number].strip()) != "END":
        if not _OCTAL_LINE.fullmatch(line):
            raise UsageError(
                f"{name} is damaged: line {number + 1} in {attribute} is not octal", remedy="fetch it again"
            )
        result += bytes(int(digits, 8) for digits in line.split("\\")[1:])
        number += 1
    if number == len(lines):
        raise UsageError(f"{name} is cut short: {attribute} in line {start} has no END", remedy="fetch it again")
    return bytes(result), number + 1


def _identity(entry: _Object, name: str) -> tuple[bytes, bytes]:
    return _bytes(entry, "CKA_ISSUER", name), _bytes(entry, "CKA_SERIAL_NUMBER", name)


def _bytes(entry: _Object, attribute: str, name: str) -> bytes:
    value = entry.get(attribute)
    if not isinstance(value, bytes):
        label = entry.get("CKA_LABEL") or "an object"
        raise UsageError(f"{name} is damaged: {label!s} has no {attribute}", remedy="fetch it again")
    return value


def _distrust_after(entry: _Object, label: str, name: str) -> int | None:
    value = entry.get(_DISTRUST_AFTER)
    if not isinstance(value, bytes):
        return None  # CK_FALSE, or not there
    try:
        moment = datetime.strptime(value.decode("ascii"), "%y%m%d%H%M%SZ")
    except ValueError as error:
        raise UsageError(
            f"{name} is damaged: the distrust date of {label} is {value!r}", remedy="fetch it again"
        ) from error
    return int(moment.replace(tzinfo=timezone.utc).timestamp())
