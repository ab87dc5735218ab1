"""The rules of the chain policy in words. Imported when one is broken."""

from micropython import const

from .der import DerError, Reader

# One line a rule: its name, what is wrong, where that is written: a bare number is a section of RFC 5280, BR the
# CA/Browser Forum's Baseline Requirements for TLS server certificates. Those of policy="webpki" are in webpki.py.
RULES = """
malformed|is not well-formed DER|4.1
internal|could not be checked|
issuer-unknown|was not issued by a trust anchor|6.1
version|is not of version 3|4.1.2.1
issuer-empty|has an empty issuer, or is a CA with an empty subject|4.1.2.4 and 4.1.2.6
key-weak|has a key other than RSA (2048 bits or more, whole bytes), P-256, P-384 or P-521|BR 6.1.5
key-blocked|has a key that is on the list of blocked keys|
extension-duplicate|has the same extension twice|4.2
extension-critical|has a critical extension that is not understood|4.2
issuer-not-ca|signed another certificate without being a CA|4.2.1.3 and 4.2.1.9
usage|must not be used for TLS servers (extended key usage)|4.2.1.12
leaf-is-ca|belongs to a CA, not to a server|BR 7.1.2.7.8
anchor-distrusted|was issued after its root lost trust|docs/store-format.md, distrust-after
san-missing|has no subject alternative name|RFC 9525, 2
san-form|has a subject alternative name of a wrong form|4.2.1.6
name-mismatch|is for other names|RFC 9525, 6
constraints|has a name that a CA above it must not certify|4.2.1.10
constraints-malformed|has name constraints that make no sense|4.2.1.10
constraints-unsupported|has a name whose form is limited and cannot be checked|4.2.1.10
constraints-excessive|has too many names or name constraints to compare|4.2.1.10
pin-mismatch|has no pinned key, nor has any certificate above it|RFC 7469, 2.6
"""

_SHOWN_NAMES = const(6)


def evidence(rule, c):
    """What `explain` needs of the refused Certificate `c`: at most 256 bytes; None if nothing is known of it."""
    if rule == "malformed":
        return None
    start, end = (c.san, c.san_end) if rule == "name-mismatch" else (c.subject, c.subject_end)
    return bytes(c.data[start : min(end, start + 256)])


def explain(rule, depth, evidence=None, error=None):
    """(rule, depth, text, section). `depth`: None for a trust anchor that is not part of a chain. `evidence`: what
    `evidence` returned. `error`: the exception behind "internal"."""
    from .errors import entry

    line = entry(RULES, rule)
    if not line:
        from .webpki import RULES as stricter

        line = entry(stricter, rule)
    text, section = line
    if section[:1].isdigit():
        section = "RFC 5280, " + section
    if depth is None:
        which = "the trust anchor"
    elif rule == "issuer-unknown":
        which = "the last certificate of the chain"
    elif depth == 0:
        which = "the server's certificate"
    else:
        which = "the CA certificate at depth %d" % depth
    if evidence and rule == "name-mismatch":
        text += ": " + ", ".join(general_names(evidence))
    elif evidence:
        which += " ('%s')" % printable_name(evidence)
    if error is not None:
        text += " (%s: %s)" % (type(error).__name__, error)
    return rule, depth, which + " " + text, section


def general_names(data):
    """The names in GeneralNames (contents, perhaps cut off) as text: dNSNames and iPAddresses, at most six."""
    shown = []
    reader = Reader(data)
    at = 0
    try:
        while at < len(data):
            form = reader.read(at, len(data))
            at = reader.end
            value = data[reader.start : at]
            if len(shown) == _SHOWN_NAMES:
                shown.append("...")
                break
            if form == 0x82:
                shown.append(_printable(value))
            elif form == 0x87:
                from .addresses import address_text

                shown.append(address_text(value) if len(value) in (4, 16) else "?")
    except DerError:
        shown.append("...")
    return shown or ["none of a host"]


def printable_name(name):
    """The readable part of a Name (DER, perhaps cut off): its common name, else its last text; "?" if there is none."""
    reader = Reader(name)
    text = b""
    # Not entered but stepped into: a Name that was cut off does not fit its own length any more.
    at = 2 if name[1:2] < b"\x80" else 2 + (name[1] & 0x7F)
    try:
        while at < len(name):
            start = reader.enter(0x31, at, len(name))
            at = reader.end
            start = reader.enter(0x30, start, at)
            start = reader.enter(0x06, start, at)
            oid = name[start : reader.end]
            reader.read(reader.end, at)
            text = name[reader.start : reader.end]
            if oid == b"\x55\x04\x03":
                break
    except DerError:
        pass
    return _printable(text) or "?"


def _printable(text):
    """ASCII as it is, everything else as `?`: it comes from a stranger and goes to a terminal."""
    return "".join(chr(c) if 0x20 <= c < 0x7F else "?" for c in text[:64])
