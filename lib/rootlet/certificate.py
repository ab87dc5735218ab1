"""The fields of one X.509 certificate, found in place (RFC 5280, 4.1 and 4.2)."""

from array import array

from micropython import const

from .der import BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID, SEQUENCE, DerError, Reader

# Kinds of key. The numbers are those of the trust store's format.
RSA = const(0)
P256 = const(1)
P384 = const(2)
P521 = const(3)
OTHER = const(4)

# Bits of `key_usage`: the first byte of the extension (RFC 5280, 4.2.1.3).
DIGITAL_SIGNATURE = const(0x80)
KEY_CERT_SIGN = const(0x04)

# Bits of `extended_key_usage`.
EKU_OTHER = const(1)
EKU_SERVER = const(2)
EKU_ANY = const(4)

# Extensions under 2.5.29 that are acted upon, or that may be critical and ignored: Mbed TLS refuses a critical
# certificatePolicies (32) with anything but anyPolicy itself, and what a key identifier (14, 35) says decides nothing.
_KEY_USAGE = const(15)
_SUBJECT_ALT_NAME = const(17)
_BASIC_CONSTRAINTS = const(19)
_NAME_CONSTRAINTS = const(30)
_EXTENDED_KEY_USAGE = const(37)
_MAY_BE_CRITICAL = bytes((14, 15, 17, 19, 30, 32, 35, 37))

_PARSED = bytes((15, 17, 19, 37))

_MAX_OTHERS = const(24)  # extensions outside 2.5.29; certificates of the web have about four

_RSA_ENCRYPTION = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"  # RFC 3279, 2.3.1
_EC_PUBLIC_KEY = b"\x2a\x86\x48\xce\x3d\x02\x01"  # RFC 5480, 2.1.1
_SECP256R1 = b"\x2a\x86\x48\xce\x3d\x03\x01\x07"
_SECP_R1 = b"\x2b\x81\x04\x00"  # then 34: secp384r1, 35: secp521r1
_SERVER_AUTH = b"\x2b\x06\x01\x05\x05\x07\x03\x01"  # RFC 5280, 4.2.1.12
_ANY_EKU = b"\x55\x1d\x25\x00"


class Certificate(Reader):
    """One certificate. `parse` may be called again with the next one: the object is made for being used again.

    After `parse(data)` these are offsets into `data`; each has a partner `…_end`:

    - whole values with their tag and length: `issuer`, `subject`, `spki` (SubjectPublicKeyInfo); `not_before`,
      `not_after` (to be given to `time`, with `spki` as the limit; they have no partner);
    - contents only: `serial`, `signature` (the algorithm's OID), `key` (RSA: the modulus without leading zeros; EC: the
      point), `san` (the GeneralNames), `constraints` (the whole NameConstraints), `extensions`. 0 where there is none.

    And these are what they say: `version` (1…3), `key_kind`, `key_bits`, `ca`, `path_length` (-1: no limit),
    `key_usage` (-1: none), `extended_key_usage` (0: none), `duplicate` (an extension comes twice), `unknown_critical`
    (a critical extension is not understood).
    """

    def __init__(self, data=None):
        super().__init__(data)
        self._others = array("H", bytes(2 * _MAX_OTHERS))
        if data is not None:
            self.parse(data)

    def parse(self, data):
        """Raises DerError. `data` is kept until the next `parse` or `release`."""
        self.data = data
        enter = self.enter
        read = self.read
        limit = len(data)
        at = enter(SEQUENCE, 0, limit)
        if self.end != limit:
            raise DerError("trailing bytes")
        at = enter(SEQUENCE, at, limit)
        limit = self.tbs_end = self.end
        self.version = 1
        if read(at, limit) == 0xA0:
            at = self.end
            self.version = data[enter(INTEGER, self.start, at)] + 1
            if self.end != at:
                raise DerError("bad version")
        self.serial = enter(INTEGER, at, limit)
        at = self.serial_end = self.end
        end = enter(SEQUENCE, at, limit)
        at = self.end
        self.signature = enter(OID, end, at)
        self.signature_end = self.end
        self.issuer = at
        enter(SEQUENCE, at, limit)
        at = self.issuer_end = self.end
        self.not_before = enter(SEQUENCE, at, limit)
        at = self.end
        read(self.not_before, at)
        self.not_after = self.end
        read(self.not_after, at)
        self.subject = at
        enter(SEQUENCE, at, limit)
        at = self.subject_end = self.end
        self.spki = at
        end = enter(SEQUENCE, at, limit)
        at = self.spki_end = self.end
        self._parse_key(end, at)
        self.san = self.san_end = self.constraints = self.constraints_end = self.extensions = self.extensions_end = 0
        self.ca = self.duplicate = self.unknown_critical = False
        self.path_length = self.key_usage = -1
        self.extended_key_usage = 0
        while at < limit:
            tag = read(at, limit)
            at = self.end
            if tag == 0xA3:
                self.extensions = enter(SEQUENCE, self.start, at)
                self.extensions_end = self.end
                if self.end != at:
                    raise DerError("trailing bytes")
                self._parse_extensions()
            elif tag != 0x81 and tag != 0x82:  # unique identifiers
                raise DerError("unexpected tag")

    def release(self):
        """Lets go of the data."""
        self.data = None

    def _is(self, at, end, wanted):
        # Comparing the lengths first saves the slice nearly always.
        return end - at == len(wanted) and self.data[at:end] == wanted

    def _parse_key(self, at, limit):
        """What kind of key SubjectPublicKeyInfo holds (RFC 3279, 2.3; RFC 5480, 2)."""
        self.key_kind = OTHER
        self.key_bits = 0
        start = self.enter(SEQUENCE, at, limit)
        end = at = self.end
        oid = self.enter(OID, start, end)
        oid_end = self.end
        self.key = self.enter(BIT_STRING, at, limit) + 1
        self.key_end = self.end
        if self.end != limit or self.key > limit or self.data[self.key - 1]:
            raise DerError("bad key")
        if self._is(oid, oid_end, _RSA_ENCRYPTION):
            at = self.enter(INTEGER, self.enter(SEQUENCE, self.key, limit), limit)
            end = self.end
            while at < end and not self.data[at]:
                at += 1
            self.key = at
            self.key_end = end
            self.key_kind = RSA
            if at < end:
                self.key_bits = 8 * (end - at)
                top = self.data[at]
                while top < 0x80:
                    top <<= 1
                    self.key_bits -= 1
        elif self._is(oid, oid_end, _EC_PUBLIC_KEY) and self.read(oid_end, end) == OID:
            oid = self.start
            end = self.end
            if self._is(oid, end, _SECP256R1):
                self.key_kind = P256
                self.key_bits = 256
            elif self._is(oid, end - 1, _SECP_R1):
                kind = self.data[end - 1]
                if kind == 34:
                    self.key_kind = P384
                    self.key_bits = 384
                elif kind == 35:
                    self.key_kind = P521
                    self.key_bits = 521

    def _parse_extensions(self):
        data = self.data
        enter = self.enter
        at = self.extensions
        limit = self.extensions_end
        seen = others = 0
        while at < limit:
            start = enter(SEQUENCE, at, limit)
            at = self.end
            oid = enter(OID, start, at)
            end = self.end
            critical = False
            if self.read(end, at) == BOOLEAN:
                critical = self._boolean()
                self.read(self.end, at)
            if self.tag != OCTET_STRING or self.end != at:
                raise DerError("bad extension")
            value = self.start
            number = data[end - 1]
            if end - oid == 3 and 9 <= number < 39 and data[oid] == 0x55 and data[oid + 1] == 0x1D:
                # 9 is the lowest number in use; 30 bits are a small integer everywhere.
                bit = 1 << (number - 9)
                if seen & bit:
                    self.duplicate = True
                seen |= bit
                self._parse_extension(number, value, at)
            else:
                number = 0
                if others == _MAX_OTHERS:
                    raise DerError("too many extensions")
                for i in range(others):
                    start = self._others[i]
                    # The two bytes before a value are its tag and length, or its length.
                    if data[start - 2 : start + end - oid] == data[oid - 2 : end]:
                        self.duplicate = True
                self._others[others] = oid
                others += 1
            if critical and number not in _MAY_BE_CRITICAL:
                self.unknown_critical = True

    def _parse_extension(self, number, at, end):
        data = self.data
        if number == _NAME_CONSTRAINTS:
            self.constraints = at
            self.constraints_end = end
        elif number in _PARSED:
            at = self.enter(BIT_STRING if number == _KEY_USAGE else SEQUENCE, at, end)
            if self.end != end:
                raise DerError("trailing bytes")
            if number == _KEY_USAGE:
                self.key_usage = data[at + 1] if end - at > 1 else 0
            elif number == _SUBJECT_ALT_NAME:
                self.san = at
                self.san_end = end
            elif number == _BASIC_CONSTRAINTS:
                if at < end and self.read(at, end) == BOOLEAN:
                    self.ca = self._boolean()
                    at = self.end
                if at < end:
                    at = self.enter(INTEGER, at, end)
                    if self.end != end or at == end or data[at] & 0x80:
                        raise DerError("bad path length")
                    self.path_length = data[at] if end - at == 1 else 0x7F  # no chain is that long
            else:
                self.extended_key_usage = EKU_OTHER
                while at < end:
                    at = self.enter(OID, at, end)
                    if self._is(at, self.end, _SERVER_AUTH):
                        self.extended_key_usage |= EKU_SERVER
                    elif self._is(at, self.end, _ANY_EKU):
                        self.extended_key_usage |= EKU_ANY
                    at = self.end

    def _boolean(self):
        if self.end - self.start != 1:
            raise DerError("bad boolean")
        return self.data[self.start] != 0
