"""The fields of one X.509 certificate, found in place (RFC 5280, 4.1 and 4.2)."""

from micropython import const

from rootlet.der import DerError, Reader

_BOOLEAN = const(0x01)
_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_OCTET_STRING = const(0x04)
_OID = const(0x06)
_SEQUENCE = const(0x30)

# Constants with an underscore cost nothing in a compiled module, others do.
_RSA = const(0)
_OTHER = const(4)
_EKU_SOME = const(1)
_EKU_SERVER = const(2)
_EKU_ANY = const(4)

# Extensions under 2.5.29 that are acted upon, or that may be critical and ignored: Mbed TLS refuses a critical
# certificatePolicies (32) with anything but anyPolicy itself. Key identifiers (14, 35) must not be critical, which is
# what OpenSSL and Go enforce.
_KEY_USAGE = const(15)
_SUBJECT_ALT_NAME = const(17)
_BASIC_CONSTRAINTS = const(19)
_NAME_CONSTRAINTS = const(30)
_EXTENDED_KEY_USAGE = const(37)
_MAY_BE_CRITICAL = const(b"\x0f\x11\x13\x1e\x20\x25")
_PARSED = const(b"\x0f\x11\x13\x25")

_MAX_EXTENSIONS = const(40)  # certificates of the web have about ten

# AlgorithmIdentifiers of keys, by kind: RFC 3279, 2.3.1 (NULL is required); RFC 5480, 2.1.1 (only named curves).
_KEY_ALGORITHMS = const((
    b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
    b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
))
_SERVER_AUTH = const(b"\x2b\x06\x01\x05\x05\x07\x03\x01")  # RFC 5280, 4.2.1.12
_ANY_EKU = const(b"\x55\x1d\x25\x00")
_AUTHORITY_INFO_ACCESS = const(b"\x2b\x06\x01\x05\x05\x07\x01\x01")  # RFC 5280, 4.2.2.1


class Certificate(Reader):
    """One certificate. `parse` may be called again with the next one: the object is made for being used again.

    After `parse(data)` these are offsets into `data`; each has a partner `…_end`:

    - whole values with their tag and length: `issuer`, `subject`, `spki` (SubjectPublicKeyInfo); `not_before` and
      `not_after` (to be given to `time` with `subject` as the limit; they have no partner);
    - contents only: `serial`, `san` (the GeneralNames), `constraints` (the whole NameConstraints), `extensions`: 0
      where there is none; `signature` (the AlgorithmIdentifier in the signed part; it ends at `issuer`).

    And these are what they say: `version` (1…3), `key_kind` (as in the trust store's format: 0 RSA, 1 P-256, 2 P-384,
    3 P-521, 4 other), `key_bits` (of an RSA modulus; one that does not fill its bytes counts as one bit short of them),
    `ca`, `path_length` (-1: no limit), `key_usage` (-1: none; else the first byte: 0x80 digitalSignature, 0x04
    keyCertSign, …), `extended_key_usage` (0: none; else 1, plus 2 with serverAuth, plus 4 with anyExtendedKeyUsage),
    `duplicate` (an extension comes twice), `unknown_critical` (a critical extension is not understood).
    """

    def __init__(self, data=None):
        super().__init__(data)
        if data is not None:
            self.parse(data)

    def parse(self, data):
        """Raises DerError. `data` is kept until the next `parse`."""
        self.data = data
        enter = self.enter
        read = self.read
        limit = len(data)
        at = enter(_SEQUENCE, 0, limit)
        if self.end != limit:
            raise DerError
        at = enter(_SEQUENCE, at, limit)
        limit = self.end
        self.version = 1
        if read(at, limit) == 0xA0:
            at = self.end
            start = self._integer(self.start, at)
            if self.end != at or at - start != 1:
                raise DerError
            self.version = data[start] + 1
        self.serial = self._integer(at, limit)
        at = self.serial_end = self.end
        self.signature = enter(_SEQUENCE, at, limit)
        self.issuer = at = self.end
        enter(_SEQUENCE, at, limit)
        at = self.issuer_end = self.end
        self.not_before = enter(_SEQUENCE, at, limit)
        self.subject = at = self.end
        read(self.not_before, at)
        self.not_after = self.end
        enter(_SEQUENCE, at, limit)
        self.subject_end = self.spki = at = self.end
        start = enter(_SEQUENCE, at, limit)
        at = self.spki_end = self.end
        # What kind of key SubjectPublicKeyInfo holds (RFC 3279, 2.3; RFC 5480, 2).
        enter(_SEQUENCE, start, at)
        algorithm = data[start : self.end]
        self.key_kind = _KEY_ALGORITHMS.index(algorithm) if algorithm in _KEY_ALGORITHMS else _OTHER
        self.key_bits = 0
        if self.key_kind == _RSA:
            # RSAPublicKey begins with the modulus; the BIT STRING's first byte counts its unused bits.
            start = self._integer(enter(_SEQUENCE, enter(_BIT_STRING, self.end, at) + 1, at), at)
            # One that fills its bytes begins with 1, so DER puts a zero byte before it.
            self.key_bits = 8 * (self.end - start) - (1 if data[start] else 8)
        self.san = self.san_end = self.constraints = self.constraints_end = self.extensions = self.extensions_end = 0
        self.ca = self.duplicate = self.unknown_critical = False
        self.path_length = self.key_usage = -1
        self.extended_key_usage = 0
        while at < limit:
            tag = read(at, limit)
            at = self.end
            if tag == 0xA3:
                self._parse_extensions(enter(_SEQUENCE, self.start, at), at)
            elif tag != 0x81 and tag != 0x82:  # unique identifiers
                raise DerError

    def _parse_extensions(self, at, limit):
        self.extensions = at
        self.extensions_end = limit
        enter = self.enter
        seen = []
        while at < limit:
            start = enter(_SEQUENCE, at, limit)
            at = self.end
            oid = self._oid(start, at)
            critical = False
            if self.read(self.end, at) == _BOOLEAN:
                critical = self._boolean()
                self.read(self.end, at)
            if self.tag != _OCTET_STRING or self.end != at or len(seen) == _MAX_EXTENSIONS:
                raise DerError
            if oid in seen:
                self.duplicate = True
            seen.append(oid)
            number = 0
            if len(oid) == 3 and oid[:2] == b"\x55\x1d":
                number = oid[2]
                self._parse_extension(number, self.start, at)
            elif oid == _AUTHORITY_INFO_ACCESS:
                enter(_SEQUENCE, self.start, at)  # nothing depends on it, but Go refuses what is no list
            if critical and number not in _MAY_BE_CRITICAL:
                self.unknown_critical = True

    def _parse_extension(self, number, at, end):
        data = self.data
        if number == _NAME_CONSTRAINTS:
            self.constraints = at
            self.constraints_end = end
        elif number in _PARSED:
            at = self.enter(_BIT_STRING if number == _KEY_USAGE else _SEQUENCE, at, end)
            if self.end != end:
                raise DerError
            if number == _KEY_USAGE:
                self.key_usage = data[at + 1] if end - at > 1 else 0
            elif number == _SUBJECT_ALT_NAME:
                self.san = at
                self.san_end = end
            elif number == _BASIC_CONSTRAINTS:
                if at < end and self.read(at, end) == _BOOLEAN:
                    self.ca = self._boolean()
                    at = self.end
                if at < end:
                    at = self._integer(at, end)
                    if self.end != end:
                        raise DerError
                    self.path_length = data[at] if end - at == 1 else 0x7F  # no chain is that long
            else:
                self.extended_key_usage = _EKU_SOME
                while at < end:
                    usage = self._oid(at, end)
                    if usage == _SERVER_AUTH:
                        self.extended_key_usage |= _EKU_SERVER
                    elif usage == _ANY_EKU:
                        self.extended_key_usage |= _EKU_ANY
                    at = self.end

    def _boolean(self):
        value = self.data[self.start : self.end]
        if value == b"\xff":
            return True
        if value == b"\0":
            return False
        raise DerError

    def _oid(self, at, limit):
        """The OBJECT IDENTIFIER at `at`, whose numbers have an end and no needless beginning (X.690, 8.19.2)."""
        oid = self.data[self.enter(_OID, at, limit) : self.end]
        if not oid:
            raise DerError
        if max(oid) > 0x7F:
            last = 0
            for byte in oid:
                if byte == 0x80 and last < 0x80:
                    raise DerError
                last = byte
            if last & 0x80:
                raise DerError
        return oid

    def _integer(self, at, limit):
        """Where the INTEGER at `at` begins: none of a certificate's is negative, and DER has no needless zeros
        (X.690, 8.3.2)."""
        at = self.enter(_INTEGER, at, limit)
        data = self.data
        n = self.end - at
        if not n or data[at] & 0x80 or (n > 1 and not data[at] and not data[at + 1] & 0x80):
            raise DerError
        return at
