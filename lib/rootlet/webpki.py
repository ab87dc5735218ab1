"""The stricter rules of the public web (policy="webpki"): CA/Browser Forum Baseline Requirements (BR) 7.1, and what
RFC 5280 asks of those who issue certificates but most clients do not enforce.

Imported only when asked for. What a trust anchor must be like is checked once, when it is loaded (`check_root`):
a handshake sees only its key.
"""

from micropython import const

from .addresses import address_text
from .certificate import Certificate
from .names import address, normalise

# As in rules.py.
RULES = """
serial|has a serial number that is not positive, or longer than 20 bytes|4.1.2.2
authority-key-identifier|has no proper authority key identifier|4.2.1.1; BR 7.1.2.11.1
subject-key-identifier|is a CA without a subject key identifier|4.2.1.2
policy-constraints|has policy constraints that are not critical|4.2.1.11
authority-information-access|has a malformed authority information access|4.2.2.1
basic-constraints|is a CA without critical basic constraints|4.2.1.9
key-usage|is a CA without a key usage|4.2.1.3
root-usage|is a root with an extended key usage|BR 7.1.2.1.2
leaf-usage|lacks an extended key usage, or it is critical or anyExtendedKeyUsage|BR 7.1.2.7.6
leaf-constraints|is no CA and has name constraints|4.2.1.10
san-critical|has a critical subject alternative name and a subject, or neither|BR 7.1.2.7.12
common-name|has a common name that is not among its subject alternative names|BR 7.1.4.3
"""

_EKU_ANY = const(4)
_OID = const(0x06)
_SEQUENCE = const(0x30)
_SET = const(0x31)
_DNS_NAME = const(0x82)
_IP_ADDRESS = const(0x87)

# Extensions under 2.5.29.
_SUBJECT_KEY_IDENTIFIER = const(14)
_KEY_USAGE = const(15)
_SUBJECT_ALT_NAME = const(17)
_BASIC_CONSTRAINTS = const(19)
_AUTHORITY_KEY_IDENTIFIER = const(35)
_POLICY_CONSTRAINTS = const(36)
_EXTENDED_KEY_USAGE = const(37)

_AUTHORITY_INFO_ACCESS = const(b"\x2b\x06\x01\x05\x05\x07\x01\x01")  # RFC 5280, 4.2.2.1
_COMMON_NAME = const(b"\x55\x04\x03")


def _extensions(c):
    """Walks the extensions again: the default policy has no use for what is noted here.

    (start, end, critical) of the value by the last number of 2.5.29.x, that of authorityInfoAccess by None.
    """
    found = {}
    at = c.extensions
    limit = c.extensions_end
    while at < limit:
        start = c.enter(_SEQUENCE, at, limit)
        at = c.end
        oid = bytes(c.data[c.enter(_OID, start, at) : c.end])
        critical = c.read(c.end, at) == 0x01
        if critical:
            critical = c.data[c.start] != 0
            c.read(c.end, at)
        if oid == _AUTHORITY_INFO_ACCESS:
            found[None] = (c.start, at, critical)
        elif len(oid) == 3 and oid[:2] == b"\x55\x1d":
            found[oid[2]] = (c.start, at, critical)
    return found


def _critical(found, number):
    """Whether extension `number` is critical; None if there is none."""
    return found[number][2] if number in found else None


def check(c, depth):
    """The first rule that `c`, a Certificate below the trust anchor, breaks, or None. `depth` 0 is the leaf."""
    extensions = _extensions(c)
    n = c.serial_end - c.serial
    # RFC 5280, 4.1.2.2; a leading zero byte keeps the number positive and counts.
    if not 0 < n <= 20 or c.data[c.serial] & 0x80 or not any(c.data[c.serial : c.serial_end]):
        return "serial"
    if _AUTHORITY_KEY_IDENTIFIER not in extensions or _key_identifier(c, extensions) is None:
        return "authority-key-identifier"
    if _POLICY_CONSTRAINTS in extensions:
        return "policy-constraints"  # critical, it is refused as not understood; it must not be anything else
    if None in extensions and not _aia_is_whole(c, extensions[None]):
        return "authority-information-access"
    if depth:
        return _check_ca(c, extensions)
    if _critical(extensions, _EXTENDED_KEY_USAGE) is not False or c.extended_key_usage & _EKU_ANY:
        return "leaf-usage"
    if c.constraints:
        return "leaf-constraints"
    if _critical(extensions, _SUBJECT_ALT_NAME) != (c.subject_end - c.subject == 2):
        return "san-critical"
    return _check_names(c)


def check_root(der):
    """The first rule that the CA certificate `der` (bytes) breaks as a trust anchor (BR 7.1.2.1), or None.

    Raises DerError.
    """
    c = Certificate(der)
    extensions = _extensions(c)
    if c.duplicate:
        return "extension-duplicate"
    if c.unknown_critical:
        return "extension-critical"
    if c.subject_end - c.subject == 2:
        return "issuer-empty"
    if c.extended_key_usage:
        return "root-usage"
    self_signed = der[c.subject : c.subject_end] == der[c.issuer : c.issuer_end]
    if _AUTHORITY_KEY_IDENTIFIER not in extensions:
        if not self_signed:
            return "authority-key-identifier"
    else:
        identifier = _key_identifier(c, extensions)
        ski = extensions.get(_SUBJECT_KEY_IDENTIFIER)
        if identifier is None or (self_signed and ski and identifier != der[c.enter(0x04, ski[0], ski[1]) : c.end]):
            return "authority-key-identifier"
    return _check_ca(c, extensions)


def _check_ca(c, extensions):
    if not c.ca or not _critical(extensions, _BASIC_CONSTRAINTS):
        return "basic-constraints"
    if _SUBJECT_KEY_IDENTIFIER not in extensions:
        return "subject-key-identifier"
    if _critical(extensions, _KEY_USAGE) is None:
        return "key-usage"
    return None


def _key_identifier(c, extensions):
    """The keyIdentifier of authorityKeyIdentifier; None if it is missing or not alone (BR 7.1.2.11.1)."""
    at, limit, _ = extensions[_AUTHORITY_KEY_IDENTIFIER]
    at = c.enter(_SEQUENCE, at, limit)
    end = c.end
    if end != limit or at == end or c.read(at, end) != 0x80 or c.end != end:
        return None
    return c.data[c.start : end]


def _aia_is_whole(c, extent):
    """SEQUENCE of one or more of SEQUENCE {OID, GeneralName}."""
    at, limit, _ = extent
    at = c.enter(_SEQUENCE, at, limit)
    end = c.end
    if end != limit or at == end:
        return False
    while at < end:
        start = c.enter(_SEQUENCE, at, end)
        at = c.end
        c.enter(_OID, start, at)
        c.read(c.end, at)
        if c.end != at:
            return False
    return True


def _check_names(c):
    """Form of the dNSNames and iPAddresses (BR 7.1.2.7.12), and each common name is one of them (BR 7.1.4.3)."""
    texts = []
    at = c.san
    while at < c.san_end:
        form = c.read(at, c.san_end)
        value = bytes(c.data[c.start : c.end])
        at = c.end
        if form == _DNS_NAME:
            if not _is_dns_name(value):
                return "san-form"
            texts.append(value)
        elif form == _IP_ADDRESS:
            if len(value) not in (4, 16):
                return "san-form"
            texts.append(address_text(value).encode())
    at = c.enter(_SEQUENCE, c.subject, c.subject_end)
    while at < c.subject_end:
        start = c.enter(_SET, at, c.subject_end)
        at = c.end
        while start < at:
            attribute = c.enter(_SEQUENCE, start, at)
            start = c.end
            kind = c.data[c.enter(_OID, attribute, start) : c.end]
            c.read(c.end, start)
            if kind == _COMMON_NAME and bytes(c.data[c.start : c.end]) not in texts:
                return "common-name"
    return None


def _is_dns_name(value):
    """Preferred name syntax (RFC 1034, 3.5; RFC 1123, 2.1), the first label perhaps `*`, the last not a number."""
    if len(value) > 253:
        return False
    try:
        text = str(value[2:] if value[:2] == b"*." else value, "ascii")
        return normalise(text) == text.lower() and "_" not in text and address(text) is None
    except ValueError:
        return False
