"""What a chain must satisfy beyond what Mbed TLS checks (signatures and their algorithms, dates, path lengths).

The rules and where they come from are in rules.py; docs/chain-policy.md explains them.
"""

from hashlib import sha256

from micropython import const

from rootlet.certificate import Certificate
from rootlet.names import address, matches

# As in certificate.py.
_RSA = const(0)
_OTHER = const(4)
_KEY_CERT_SIGN = const(0x04)
_EKU_SERVER = const(2)

_DNS_NAME = const(0x82)
_IP_ADDRESS = const(0x87)

_MIN_RSA_BITS = const(2048)

_NO_SIGNATURE = const(b"\x03\x02\0\0")


class ChainPolicy:
    """Judges one chain. `check` is for tls.SSLContext.verify_callback.

    host: as names.normalise returns it. anchors: the trust anchors of this handshake in the order of loading (the list
    may still grow), each with `exact`, `distrust_after` and `constraints`. blocked: tells from the first 16 bytes of
    the SHA-256 of a SubjectPublicKeyInfo whether that key is blocked; or None. webpki: the CA/Browser Forum's rules,
    too.
    """

    def __init__(self, host, anchors, blocked=None, webpki=False):
        self._address = address(host)
        self._host = self._address or host.encode()
        self._anchors = anchors
        self._anchor = None
        self._blocked = blocked
        self._webpki = webpki
        self._certificate = Certificate()
        self._constraints = None
        self._rule = self._evidence = None
        self._depth = -1  # of the certificate that was seen last
        self.error = None  # the exception behind the rule "internal"

    @property
    def violation(self):
        """None, or (rule, depth, text, section) of what was refused: a short stable name, 0 for the leaf, the reason in
        words, and the standard's section."""
        if self._rule is None:
            return None
        from rootlet.rules import explain

        return explain(self._rule, self._depth, self._evidence, self.error)

    def check(self, der, depth):
        """To be called for each certificate from the root to the leaf (`der`: a memoryview, not kept).

        0: go on, 1: refuse. Never raises: an exception would jump over Mbed TLS's clean-up. Whatever goes wrong here
        refuses the chain.
        """
        if self._rule is None:
            try:
                try:
                    self._rule = self._examine(der, depth)
                except (ValueError, IndexError):
                    self._rule = "malformed"
                if self._rule:
                    from rootlet.rules import evidence

                    self._evidence = evidence(self._rule, self._certificate)
                self._certificate.data = None
            except BaseException as error:
                # For want of memory there may be fewer words; a rule that is broken stays broken.
                if self._rule is None or not isinstance(error, MemoryError):
                    self.error = error
                self._rule = self._rule or "internal"
            if self._rule is None:
                return 0
            self._depth = depth
        return 1

    def _examine(self, der, depth):
        """The first rule that the certificate at `depth` breaks, or None."""
        c = self._certificate
        c.parse(der)
        top = self._depth < 0
        if not top and depth != self._depth - 1:
            return "internal"
        self._depth = depth
        kind = c.key_kind
        if kind == _OTHER or (kind == _RSA and (c.key_bits < _MIN_RSA_BITS or c.key_bits & 7)):
            return "key-weak"
        if self._blocked and self._blocked(sha256(der[c.spki : c.spki_end]).digest()[:16]):
            return "key-blocked"
        if top:
            if depth:
                # anchor.py wrote it: its serial number says which of the anchors it stands for. An exact certificate
                # has a signature; it must not sign for others.
                number = der[c.serial]
                if number < len(self._anchors) and der[-4:] == _NO_SIGNATURE:
                    self._anchor = anchor = self._anchors[number]
                    if not anchor.exact:
                        return self._constrain(anchor.constraints)
            else:
                # A chain of one: the server's certificate is itself what is trusted.
                for anchor in self._anchors:
                    if anchor.exact:
                        return self._leaf(c)
            return "issuer-unknown"
        if c.version != 3:
            return "version"
        if c.duplicate:
            return "extension-duplicate"
        if c.unknown_critical:
            return "extension-critical"
        if c.issuer_end - c.issuer == 2:
            return "issuer-empty"
        rule = None
        # Self-issued certificates below the root serve key rollover: RFC 5280, 6.1.3, b.
        if self._constraints and (not depth or der[c.issuer : c.issuer_end] != der[c.subject : c.subject_end]):
            rule = self._constraints.check(c)
        rule = rule or (self._issuer(c) if depth else self._leaf(c))
        if self._webpki and not rule:
            from rootlet.webpki import check

            rule = check(c, depth)
        return rule

    def _constrain(self, value):
        if value is None:
            return None
        if not self._constraints:
            from rootlet.constraints import Constraints

            self._constraints = Constraints(self._webpki)
        return self._constraints.add(value)

    def _issuer(self, c):
        if not c.ca or not c.key_usage & _KEY_CERT_SIGN:
            return "issuer-not-ca"
        if c.extended_key_usage and not c.extended_key_usage & _EKU_SERVER:
            return "usage"
        if c.subject_end - c.subject == 2:
            return "issuer-empty"
        return self._constrain(bytes(c.data[c.constraints : c.constraints_end]) if c.constraints else None)

    def _leaf(self, c):
        if self._anchor:  # else it is one that is trusted as itself
            if c.ca or (c.key_usage >= 0 and c.key_usage & _KEY_CERT_SIGN):
                return "leaf-is-ca"
            after = self._anchor.distrust_after
            if after and c.time(c.not_before, c.spki) > after:
                return "anchor-distrusted"
        if c.extended_key_usage and not c.extended_key_usage & _EKU_SERVER:
            return "usage"
        at = c.san
        end = c.san_end
        if at == end:
            return "san-missing"
        found = False
        while at < end:
            form = c.read(at, end)
            start = c.start
            at = c.end
            if form == _DNS_NAME:
                # IA5String: RFC 5280, 4.2.1.6.
                if start < at and max(c.data[start:at]) > 0x7F:
                    return "san-form"
                if not self._address and matches(c.data, start, at, self._host):
                    found = True
            elif form == _IP_ADDRESS:
                if at - start != 4 and at - start != 16:
                    return "san-form"
                if c.data[start:at] == self._address:
                    found = True
        if found:
            return None
        return "name-mismatch"
