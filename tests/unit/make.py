"""Writes DER and unsigned certificates, on both interpreters. What a test does not name has an ordinary value."""

from binascii import unhexlify


def tlv(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    if n < 0x80:
        head = bytes((tag, n))
    elif n < 0x100:
        head = bytes((tag, 0x81, n))
    else:
        head = bytes((tag, 0x82, n >> 8, n & 0xFF))
    return head + body


def seq(*parts):
    return tlv(0x30, *parts)


def oid(dotted):
    numbers = [int(part) for part in dotted.split(".")]
    out = bytearray((40 * numbers[0] + numbers[1],))
    for number in numbers[2:]:
        groups = [number & 0x7F]
        while number > 0x7F:
            number >>= 7
            groups.append(number & 0x7F | 0x80)
        out.extend(bytes(reversed(groups)))
    return tlv(0x06, bytes(out))


def name(*attributes, **common):
    """A Name: name(cn="a") or name(("2.5.4.10", "Org"), cn="a"); strings are UTF8String, other values are DER."""
    pairs = list(attributes)
    if "cn" in common:
        pairs.append(("2.5.4.3", common["cn"]))
    out = b""
    for kind, value in pairs:
        if isinstance(value, str):
            value = tlv(0x0C, value.encode())
        out += tlv(0x31, seq(oid(kind), value))
    return seq(out)


def dns(text):
    return tlv(0x82, text if isinstance(text, bytes) else text.encode())


def ip(octets):
    return tlv(0x87, bytes(octets))


def directory(der_name):
    return tlv(0xA4, der_name)


def extension(kind, value, critical=False):
    return seq(oid(kind), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def san(*names, **options):
    return extension("2.5.29.17", seq(*names), **options)


def basic_constraints(ca=True, path_length=None, critical=True):
    parts = [b"\x01\x01\xff"] if ca else []
    if path_length is not None:
        parts.append(tlv(0x02, bytes((path_length,))))
    return extension("2.5.29.19", seq(*parts), critical)


def key_usage(bits, critical=True):
    return extension("2.5.29.15", tlv(0x03, b"\0", bytes((bits,))), critical)


def extended_key_usage(*usages, **options):
    return extension("2.5.29.37", seq(*[oid(usage) for usage in usages]), **options)


SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
ANY_EKU = "2.5.29.37.0"


def name_constraints(permitted=(), excluded=(), critical=False):
    return extension("2.5.29.30", constraints(permitted, excluded), critical)


def constraints(permitted=(), excluded=()):
    parts = []
    if permitted:
        parts.append(tlv(0xA0, *[seq(base) for base in permitted]))
    if excluded:
        parts.append(tlv(0xA1, *[seq(base) for base in excluded]))
    return seq(*parts)


def rsa(bits=2048, exponent=65537, top=None):
    """SubjectPublicKeyInfo with a modulus of `bits` bits (no real one)."""
    n = (bits + 7) // 8
    modulus = bytearray(b"\x5b" * n)
    modulus[0] = (1 << ((bits - 1) % 8)) if top is None else top
    pad = b"\0" if modulus[0] & 0x80 else b""
    key = seq(tlv(0x02, pad, bytes(modulus)), tlv(0x02, exponent.to_bytes(3, "big")))
    return seq(seq(oid("1.2.840.113549.1.1.1"), b"\x05\0"), tlv(0x03, b"\0", key))


def ec(curve="1.2.840.10045.3.1.7", size=32):
    return seq(seq(oid("1.2.840.10045.2.1"), oid(curve)), tlv(0x03, b"\0\x04", b"\x11" * (2 * size)))


P384 = "1.3.132.0.34"
P521 = "1.3.132.0.35"
P192 = "1.2.840.10045.3.1.1"

SHA256_RSA = "1.2.840.113549.1.1.11"
SHA1_RSA = "1.2.840.113549.1.1.5"
ECDSA_SHA256 = "1.2.840.10045.4.3.2"


def utc(text):
    return tlv(0x17, text.encode())


def generalized(text):
    return tlv(0x18, text.encode())


def certificate(**fields):
    """DER of a certificate. Fields: version, serial (bytes), algorithm, issuer, subject, not_before, not_after, spki,
    extensions (list of DER, or None for none), signature (the BIT STRING's contents), tail (DER before the extensions).
    """
    get = fields.get
    version = get("version", 3)
    algorithm = seq(oid(get("algorithm", ECDSA_SHA256)))
    extensions = get("extensions", ())
    body = seq(
        b"" if version == 1 else tlv(0xA0, tlv(0x02, bytes((version - 1,)))),
        tlv(0x02, get("serial", b"\x11\x22\x33")),
        algorithm,
        get("issuer", name(cn="Root")),
        seq(get("not_before", utc("260101000000Z")), get("not_after", utc("360101000000Z"))),
        get("subject", name(cn="leaf")),
        get("spki", ec()),
        get("tail", b""),
        b"" if extensions is None else tlv(0xA3, seq(*extensions)),
    )
    return seq(body, algorithm, tlv(0x03, get("signature", b"\0" + b"\x77" * 70)))


def anchor(index=0, subject=None, **fields):
    """The certificate that stands for trust anchor number `index`, as rootlet.anchor writes it."""
    subject = name(cn="Root") if subject is None else subject
    fields.setdefault("extensions", [basic_constraints()])
    return certificate(serial=bytes((index,)), issuer=subject, subject=subject, signature=b"\0\0", **fields)


def from_hex(text):
    return unhexlify(text.replace(" ", ""))


def raises(kind, function, *arguments):
    """The exception of class `kind` that the call raises."""
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError("did not raise " + kind.__name__)
