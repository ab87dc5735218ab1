"""What is fuzzed, on both interpreters. Each target takes bytes, and raises if something is not as it must be. It
returns what came of it, in numbers and texts that must be the same on both.

A target's seeds are made here, too: good inputs, from which others are made by changing them.
"""

import io
import sys
from errno import EIO
from hashlib import sha256

import flight
import make
import rootlet.errors as errors
import rootlet.integrity
import rootlet.opening
import rootlet.store
import storefile
from rootlet.addresses import parse as parse_address
from rootlet.anchor import Anchor
from rootlet.certificate import Certificate
from rootlet.constraints import Constraints
from rootlet.der import DerError, Reader
from rootlet.describe import certificate as describe
from rootlet.diagnosis import from_dial, from_handshake, from_stream, from_transport
from rootlet.flight import MAX_CERTIFICATES, MAX_NAME
from rootlet.names import address, matches, normalise
from rootlet.observer import HandshakeObserver
from rootlet.pem import certificates as read_pem
from rootlet.pins import PinnedPolicy, Pins
from rootlet.policy import ChainPolicy
from rootlet.rules import RULES as ALWAYS
from rootlet.rules import general_names, printable_name
from rootlet.webpki import RULES as STRICTER
from rootlet.webpki import check as check_webpki
from rootlet.webpki import check_root
from rootlet.wire import Offered, Records

RULES = ALWAYS + STRICTER

HOST = "a.example.org"
ROOT, SUB = make.name(cn="Root"), make.name(("2.5.4.10", "Org"), cn="Sub")
_LIMITS = make.constraints([make.dns("example.org"), make.ip(bytes(8))], [make.dns("b.example.org")])
LEAF = make.certificate(
    issuer=SUB,
    extensions=[
        make.san(make.dns(HOST), make.dns("*.example.org"), make.ip((127, 0, 0, 1)), make.directory(ROOT)),
        make.key_usage(0x80),
        make.extended_key_usage(make.SERVER_AUTH, make.CLIENT_AUTH),
        make.basic_constraints(False),
        make.extension("1.3.6.1.4.1.55738.1", b"\x05\0"),
    ],
)
ISSUER = make.certificate(
    issuer=ROOT,
    subject=SUB,
    spki=make.rsa(),
    extensions=[
        make.basic_constraints(path_length=1),
        make.key_usage(0x06),
        make.name_constraints([make.dns("example.org")], [make.ip(bytes(8))]),
    ],
)
OLD = make.certificate(
    version=1, issuer=ROOT, subject=ROOT, extensions=None, not_after=make.generalized("20500101000000Z")
)
TOP = make.anchor(0, ROOT, spki=make.rsa(3072))
CERTIFICATES = (LEAF, ISSUER, TOP, OLD)


class _Anchor:
    exact = False
    distrust_after = 0
    constraints = None


class _Exact(_Anchor):
    exact = True


def _is_printable(text):
    for c in text:
        assert 0x20 <= ord(c) < 0x7F, text
    return True


# Certificates


def der(data):
    """Certificate finds its fields inside the data, or raises DerError and nothing else."""
    c = Certificate()
    view = memoryview(data)
    for _ in range(2):  # the object is used again
        try:
            c.parse(view)
        except DerError:
            return "refused"
    n = len(data)
    for name in ("serial", "issuer", "subject", "spki", "san", "constraints", "extensions"):
        start, end = getattr(c, name), getattr(c, name + "_end")
        assert 0 <= start <= end <= n, name
    assert 0 < c.signature <= c.issuer < c.not_before < c.not_after <= c.subject < c.spki
    assert 1 <= c.version <= 256 and 0 <= c.key_kind <= 4 and -1 <= c.path_length <= 127 and -1 <= c.key_usage <= 255
    for at in (c.not_before, c.not_after):
        try:
            assert 0 <= c.time(at, c.subject) <= 0xFFFFFFFF
        except DerError:
            pass
    try:
        said = describe(view)
        _is_printable(said["subject"]) and _is_printable(said["issuer"]) and _is_printable(said["key"])
        assert len(said["names"]) <= 7
    except DerError:
        pass
    for check in (lambda: check_root(data), lambda: check_webpki(c, 0), lambda: check_webpki(c, 1)):
        try:
            rule = check()
            assert rule is None or "\n%s|" % rule in RULES
        except (ValueError, IndexError):
            pass  # policy.py takes both for "malformed"
    # fmt: off
    return (c.version, c.serial, c.issuer, c.not_before, c.subject, c.spki, c.key_kind, c.key_bits, c.ca, c.path_length,
            c.key_usage, c.extended_key_usage, c.duplicate, c.unknown_critical, c.san, c.constraints)
    # fmt: on


def policy(data):
    """A chain with this certificate in it is judged without an exception; a refusal has words."""
    kind = data[-1] % 7 if data else 0
    if kind == 6:
        return _judge(PinnedPolicy([bytes(32)], HOST, [_Anchor()]), (TOP, ISSUER, data))
    chain = ((TOP, ISSUER, data), (TOP, data, LEAF), (data,))[kind % 3]
    return _judge(ChainPolicy(HOST, [_Exact() if len(chain) == 1 else _Anchor()], None, kind > 2), chain)


def _judge(judge, chain):
    depth = len(chain) - 1
    for certificate in chain:
        refused = judge.check(memoryview(certificate), depth)
        assert refused in (0, 1) and bool(refused) == (judge.violation is not None)
        if refused:
            rule, where, words, _ = judge.violation
            assert rule != "internal", judge.error
            assert where == depth and _is_printable(words)
            return rule, where, words
        depth -= 1
    assert Certificate(memoryview(chain[-1])).san, "a leaf without names was accepted"
    return "accepted"


def constraints(data):
    """NameConstraints and names below them: a rule's name or None, or what policy.py takes for "malformed"."""
    limits = Constraints()
    try:
        rule = limits.add(data)
        assert rule is None or "\n%s|" % rule in RULES
        if rule is None:
            for certificate in (LEAF, ISSUER):
                rule = limits.check(Certificate(certificate))
                assert rule is None or "\n%s|" % rule in RULES
        return rule
    except (ValueError, IndexError):
        return "malformed"


def text(data):
    """Names as text: always printable, never long."""
    assert len(printable_name(data)) <= 64 and _is_printable(printable_name(data))
    shown = general_names(data)
    assert 1 <= len(shown) <= 7
    for name in shown:
        _is_printable(name)
    return printable_name(data), shown


def reader(data):
    """One value after the other: never outside the data, and always forward."""
    read = Reader(data)
    at = 0
    try:
        while at < len(data):
            read.read(at, len(data))
            assert at + 2 <= read.start <= read.end <= len(data)
            at = read.end
    except DerError:
        pass
    return at


def pem(data):
    """PEM or DER: certificates that are one DER value each, or ValueError."""
    try:
        found = [len(der) for der in read_pem(data) if der[0] == 0x30 and len(der) >= 2]
        assert len(found) == len(read_pem(data))
        return found
    except ValueError:
        return "refused"


# Names


def names(data):
    """A pattern covers a host exactly if the rules of RFC 9525, written down once more, say so."""
    pattern, _, host = data.partition(b"\n")
    try:
        wanted = normalise(str(host, "utf-8"))
        is_address = address(wanted) is not None
    except (ValueError, UnicodeError):
        return "refused"
    assert wanted == normalise(wanted), "normalise is not idempotent"
    if is_address:
        assert parse_address(wanted) == address(wanted) and len(address(wanted)) in (4, 16)
        return wanted
    for label in wanted.split("."):
        assert 0 < len(label) < 64
    covered = matches(b"x" + pattern + b"y", 1, 1 + len(pattern), wanted.encode())
    assert covered == _covers(pattern.lower(), wanted.encode()), (pattern, wanted)
    return wanted, covered


def _covers(pattern, host):
    labels, wanted = pattern.split(b"."), host.split(b".")
    if labels[0] != b"*":
        return labels == wanted
    return len(labels) > 2 and len(labels) == len(wanted) and labels[1:] == wanted[1:]


def pins(data):
    """Pins that are taken have 32 bytes each; everything else is a ConfigError."""
    try:
        given = str(data, "utf-8")
    except UnicodeError:
        return None
    try:
        digests = Pins(given, True).digests
        for digest in digests:
            assert len(digest) == 32
        return len(digests)
    except errors.ConfigError:
        return "refused"


# What comes over the line


class _Journal:
    level = 3
    offered = None

    def __init__(self):
        self.count = 0

    def event(self, level, name, *fields):
        self.count += 1
        assert len(fields) % 2 == 0


def observer(data):
    """A server's bytes in pieces: nothing is raised, the limits hold, and what Mbed TLS gets is what came."""
    if not data:
        return None
    size = data[0] % 61 + 1
    data = data[1:]
    seen = []
    pieces = [memoryview(data)[at : at + size] for at in range(0, len(data), size)] if data[:1] != b"\x80" else [data]
    watch = HandshakeObserver(flight.Transport(*pieces), seen.append)
    got = bytearray()
    buffer = bytearray(5 + size)
    while True:
        n = watch.readinto(buffer)
        if n is None:
            continue
        if n <= 0:
            break
        got += buffer[:n]
    assert n == 0 or (n == -EIO and watch.refusal), (n, watch.error)
    assert watch.error is None
    assert bytes(got) == data[: len(got)] and (n < 0 or len(got) == len(data))
    assert len(seen) <= MAX_CERTIFICATES
    for name in seen:
        assert name[0] == 0x30 and len(name) <= MAX_NAME + 4
    return n, len(got), watch.seen, watch.alert, watch.encrypted, [len(name) for name in seen]


def wire(data):
    """The same bytes for a trace, in one piece and byte by byte: the same events."""
    counts = []
    for size in (len(data) or 1, 3, 1):
        journal = _Journal()
        records = Records(journal, "in")
        for at in range(0, len(data), size):
            records.feed(memoryview(data)[at : at + size])
        counts.append(journal.count)
    assert counts[0] == counts[1] == counts[2], counts
    return counts[0], data[:1] == b"\2" and offered(data)


def offered(data):
    """A trace's certificates of handshake messages, in one piece and byte by byte: the same."""
    told = []
    for size in (len(data), 1):
        journal = _Journal()
        reader = Offered(journal)
        for at in range(0, len(data), size):
            reader.feed(data, at, min(at + size, len(data)))
        told.append(journal.offered)
    assert told[0] == told[1], told
    assert len(told[0] or ()) <= Offered.MAX
    return told[0] and [sorted([str(field) for field in fields]) for fields in told[0]]


# Trust stores


_content = b""


def _open(path, mode="r"):
    return io.BytesIO(_content)


rootlet.opening.open = rootlet.store.open = rootlet.integrity.open = _open


def _put_right(data):
    """A store whose lengths and digest fit its content, so that what is behind them is reached."""
    if len(data) < 64:
        return data
    body = len(data) - 64
    head = b"RTLT\x01\0" + data[6:20] + storefile.u32(body) + data[24:28] + bytes(4)
    digest = sha256(head[:4] + head[4:32] + data[64:]).digest()
    return head + digest + data[64:]


def store(data):
    """A store is refused with a TrustStoreError, or can be asked anything; damage found later is told the same way."""
    global _content
    came = []
    for content in (data, _put_right(data)):
        _content = content
        outcome = None
        try:
            opened = rootlet.store.TrustStore("/x.rtlt")
            outcome = (opened.count, opened.sequence, opened.signed)
            records, blocked, end = opened.layout()
            assert 64 <= records <= blocked <= end <= len(content)
            for name in (ROOT, SUB):
                found = opened.lookup(name, HOST)
                assert len(found) <= opened.MAX_ANCHORS_PER_NAME
                for anchor in found:
                    anchor.certificate(name, 1)
            opened.is_blocked(bytes(16))
            opened.is_blocked(data[:16] if len(data) > 15 else b"\xff" * 16)
            opened.envelope()
            if opened.publisher() is None:
                fault = rootlet.integrity.fault(opened)
                assert fault is None or isinstance(fault, str)
                # What follows may be the interpreter's words.
                outcome += (fault and fault.split(":")[0],)
        except errors.TrustStoreError as error:
            assert error.message and error.remedy
            outcome = outcome or type(error).__name__
        came.append(outcome)
    _content = b""
    return came


def anchor(data):
    """A record is refused with a ValueError, or becomes a certificate that Certificate can read. With an RSA key that
    begins with needless zeros it becomes one that is malformed, and so is every chain that ends with it."""
    try:
        made = Anchor(data)
        made.may_sign_for(HOST)
    except ValueError:
        return "refused"
    if made.exact or data[0] & 7 == storefile.OTHER:
        return "as it is"  # bytes from the publisher
    key = bytes(made.key)
    try:
        c = Certificate(made.certificate(ROOT, 3))
    except DerError:
        assert data[0] & 7 == 0 and key[0] == 0 and not key[1] & 0x80
        return "malformed"
    assert c.ca and c.data[c.serial] == 3
    return c.key_kind, c.path_length, c.spki_end


# Errors


class _Seen:
    def __init__(self, data):
        self.error = None
        self.refusal = None
        self.alert = None
        self.encrypted = bool(data[0] & 1)
        self.certificate_requested = bool(data[0] & 2)
        kind = data[0] >> 2 & 7
        if kind == 1:
            self.error = _os_error(_number(data))
        elif kind == 2:
            self.refusal = data[2:7]
        elif kind == 3:
            self.refusal = "it did something"
        elif kind == 4:
            self.alert = data[1]
        elif kind == 5:
            self.error = ValueError("odd")


class _Judged:
    seen = ("sha256//x",)
    error = None

    def __init__(self, data):
        self.violation = None
        if data[0] & 0x20:
            rules = [line for line in RULES.split("\n") if line]
            rule, words, source = rules[data[1] % len(rules)].split("|")
            self.violation = rule, data[2] % 4, words, source


class _Context:
    def __init__(self, credentials):
        self.credentials = credentials


class _Handshake:
    issuers = _issuers_known = ()

    def __init__(self, data):
        self.observer = _Seen(data)
        self.policy = _Judged(data) if data[1] & 1 else None
        self.loaded = [(True, 0, None)] if data[0] & 0x40 else [(False, 0, None)] if data[0] & 0x80 else []
        self.missing = data[3:] if data[2] & 1 else None
        self.free_bytes = data[2] * 100 if data[1] & 2 else None
        self.context = _Context(self if data[1] & 4 else None)
        self.retry = bool(data[1] & 8)


def _number(data):
    n = data[3] << 8 | data[4]
    return n - 0x10000 if n & 0x8000 else n >> 5


def _os_error(number):
    return OSError(number, "") if sys.implementation.name == "cpython" else OSError(number)


def diagnosis(data):
    """Whatever failed: a TLSError with a cause, a remedy and no character that a terminal would act on."""
    if len(data) < 8:
        return None
    number = _number(data)
    raised = _os_error(number)
    if data[5] & 3 == 1:
        raised = ValueError("".join([chr(0x20 + c % 0x5F) if c & 0x80 else "\n" for c in data[6:]]))
    elif data[5] & 3 == 2:
        raised = MemoryError()
    handshake = _Handshake(data)
    found = [from_handshake(raised, handshake, HOST)]
    if isinstance(raised, OSError):
        found.append(from_stream(raised, handshake.observer, HOST))
        found.append(from_transport(raised, "during a test"))
        found.append(from_dial(raised, HOST, 443))
    for error in found:
        assert isinstance(error, errors.TLSError), error
        assert error.message and error.remedy
        _is_printable(str(error))
        assert "0x-" not in error.message, error.message
    kind = type(found[0])
    seen = handshake.observer
    if seen.error is None and seen.refusal is None and isinstance(raised, OSError) and 0 < number < 128:
        # Mbed TLS's own small numbers are never the network's.
        assert kind not in (errors.ConnectError, errors.DeadlineError, errors.ResolveError), number
    return [type(error).__name__ for error in found]


_FLIGHT = (
    flight.record(flight.SERVER_HELLO)
    + flight.record(flight.certificate_message(LEAF, ISSUER) + flight.SERVER_KEY_EXCHANGE + flight.SERVER_HELLO_DONE)
    + flight.record(b"\x01", flight.CHANGE_CIPHER_SPEC)
    + flight.record(bytes(40))
)
_LONG = make.certificate(issuer=make.name(("2.5.4.10", "x" * 1100), cn="y"))
_MANY = flight.record(flight.certificate_message(*[make.certificate(version=1, extensions=None)] * 17))
_ALERT = flight.record(b"\x02\x28", flight.ALERT)
_CERTIFICATES = flight.SERVER_HELLO + flight.certificate_message(LEAF, ISSUER) + flight.SERVER_HELLO_DONE
_LONG_FLIGHT = flight.record(flight.SERVER_HELLO + flight.certificate_message(_LONG, LEAF))
_PEM = b"-----BEGIN CERTIFICATE-----\nMAIFAA==\n-----END CERTIFICATE-----\n"
_PIN = b"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
_RECORDS = (
    storefile.record(),
    storefile.record(storefile.RSA, path_length=2, suffixes=["example.org", "b"], distrust_after=5),
    storefile.record(storefile.OTHER, make.ec(), constraints=_LIMITS),
    storefile.record(storefile.EXACT, LEAF),
)
_STORES = (
    storefile.store([(ROOT, _RECORDS[0]), (SUB, _RECORDS[1]), (ROOT, _RECORDS[2])], blocked=[bytes(16), b"\xfe" * 16]),
    storefile.store([(make.name(cn="%d" % i), _RECORDS[0]) for i in range(40)] + [(SUB, _RECORDS[3])]),
    storefile.store([], publisher=LEAF[:100]),
)
_NAMES = (
    b"*.example.org\na.example.org",
    b"a.example.org\nA.EXAMPLE.org.",
    b"*.org\nexample.org",
    b"*\norg",
    b"127.0.0.1\n127.0.0.1",
    b"x\n[2001:db8::1.2.3.4]",
    b"xn--bcher-kva.example\nxn--bcher-kva.example",
)

# The first byte says how they are cut up.
_FLIGHTS = (
    b"\x80" + _FLIGHT,
    b"\x06" + _FLIGHT,
    b"\x3c" + _LONG_FLIGHT,
    b"\x3c" + _MANY,
    b"\x03" + _ALERT,
    b"\x07HTTP/1.0 400",
)
_FAILURES = (bytes(12), bytes(range(0, 240, 8)), b"\x10\x28\0\x88\x80\0\0\0", bytes(8) + SUB)

# Name, function, seeds, whether they are DER, how much of the whole it gets.
TARGETS = (
    ("der", der, CERTIFICATES, True, 4),
    ("policy", policy, CERTIFICATES, True, 2),
    ("constraints", constraints, (_LIMITS, make.constraints([make.directory(ROOT)], [make.ip(bytes(32))])), True, 2),
    ("text", text, (ROOT, SUB, make.dns(HOST) + make.ip(bytes(16)) + make.dns("*.x")), True, 2),
    ("reader", reader, CERTIFICATES, False, 1),
    ("pem", pem, (_PEM, _PEM * 2, LEAF + ISSUER), False, 1),
    ("names", names, _NAMES, False, 3),
    ("pins", pins, (_PIN, _PIN + b";" + _PIN[:-2] + b"A="), False, 1),
    ("observer", observer, _FLIGHTS, False, 1),
    ("wire", wire, (_FLIGHT, _ALERT, flight.record(flight.SERVER_HELLO) + _ALERT, _CERTIFICATES), False, 1),
    ("store", store, _STORES, False, 2),
    ("anchor", anchor, _RECORDS, False, 2),
    ("diagnosis", diagnosis, _FAILURES, False, 2),
)  # fmt: skip
