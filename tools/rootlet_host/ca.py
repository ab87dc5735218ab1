"""Finds the root above the chain that a server sends, by names and signatures, and judges stores by it."""

from __future__ import annotations

import ssl
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from .errors import HostError, UsageError
from .output import plain
from .store.anchors import UnfitCertificateError, anchor_from_certificate, describe_name, time_text, validity
from .store.builder import build_store, read_store
from .store.format import Anchor, Kind, Store, certificate_fields, decode_store, der_element, index_key
from .store.hosts import Host, connection_fault, prove, read_chains
from .store.manifest import known_names, manifest
from .store.sources import SourceCertificate, read_source

# What a board reads of a Certificate message: lib/rootlet/flight.py.
MAX_CERTIFICATES = 16
MAX_CERTIFICATE_MESSAGE = 16384
_MAX_STEPS = 500  # a server that sends many cross-signed certificates must not keep us busy


@dataclass(frozen=True)
class Route:
    """Certificates from the server's to the last one below `anchor`; an exact record's certificate is all of it."""

    certificates: tuple[x509.Certificate, ...]
    anchor: Anchor


@dataclass
class Chain:
    """One chain that a host sends, and what was found out about it.

    `paths`: every way to a root that is known, the shortest first: that is the one boards take. `offered`: the anchor
    that would make it work if its owner vouches for it: a self-signed server, or the private root that is sent.
    `fault`: why the chain is no good, or ""; `remedy` what to do about it.
    """

    sent: list[x509.Certificate]
    paths: list[Route] = field(default_factory=list)
    offered: Anchor | None = None
    fault: str = ""
    remedy: str = ""
    ciphers: str | None = None  # what the host was offered when it sent this chain

    @property
    def anchor(self) -> Anchor | None:
        return self.paths[0].anchor if self.paths else None

    @property
    def message_bytes(self) -> int:
        """Size of the Certificate message in TLS 1.2 (RFC 5246, 7.4.2)."""
        return 7 + sum(3 + len(certificate.public_bytes(Encoding.DER)) for certificate in self.sent)

    def accept(self) -> None:
        """Make `offered` the root."""
        if self.offered is not None:
            self.paths = find_paths(self.sent, [self.offered])
            self.fault = self.remedy = ""

    def role(self, certificate: x509.Certificate) -> str:
        """What the certificate, one of `sent`, is in the shortest path."""
        if certificate == self.sent[0]:
            return "server, self-signed" if _self_signed(certificate) else "server"
        path = self.paths[0] if self.paths else None
        if path is not None and certificate in path.certificates:
            return "intermediate"
        if path is not None and _is(path.anchor, certificate):
            return "the root (need not be sent)"
        if any(certificate in other.certificates for other in self.paths[1:]):
            return "cross-signed (not needed)"
        if path is not None:
            return "not needed"
        return "self-signed, not known" if _self_signed(certificate) else "leads to no known root"


@dataclass(frozen=True)
class Verdict:
    """Whether the store at `path` lets a board connect. `words` says why or why not."""

    path: str
    holds: bool
    words: str
    sequence: int | None = None
    signed: bool | None = None


def load_anchors(sources: Sequence[str]) -> tuple[list[Anchor], list[str]]:
    """(anchors of the sources, notes on certificates that cannot be anchors)."""
    anchors, notes = [], []
    for text in dict.fromkeys(sources):
        source = read_source(text)
        for entry in source.certificates:
            try:
                anchors.append(_anchor(entry))
            except UnfitCertificateError as error:
                notes.append(f"skipped: {entry.place} {error}")
    return anchors, notes


def _anchor(entry: SourceCertificate) -> Anchor:
    """A CA's key, or the whole certificate of a self-signed server."""
    try:
        return anchor_from_certificate(entry.certificate, source=entry.source, distrust_after=entry.distrust_after)
    except UnfitCertificateError:
        if _self_signed(entry.certificate):
            return anchor_from_certificate(entry.certificate, source=entry.source, exact=True)
        raise


def examine(host: Host, anchors: Sequence[Anchor]) -> list[Chain]:
    """The chains that `host` sends to clients of different kinds, each followed to its root and verified.

    Raises `HostError` if there is no TLS connection.
    """
    chains: list[Chain] = []
    for ciphers, sent in read_chains(host):
        chain = follow(sent, anchors)
        chain.ciphers = ciphers
        verify(host, chain)
        chains.append(chain)
    return chains


def verify(host: Host, chain: Chain) -> None:
    """Connect again, trusting nothing but the root that was found; notes in `chain` what is wrong."""
    if chain.anchor is None:
        return
    try:
        prove(host, chain.ciphers, chain.anchor)
    except ssl.SSLCertVerificationError as error:
        chain.fault = f"its certificate is refused ({error.verify_message})"
        chain.remedy = "the server's owner must replace the certificate, or you connect by a name that is in it"
    except OSError as error:
        chain.fault = connection_fault(error)
        chain.remedy = "try again"


def follow(sent: Sequence[x509.Certificate], anchors: Sequence[Anchor]) -> Chain:
    """Build every path from the first certificate to one of `anchors`, by names and signatures (RFC 4158)."""
    chain = Chain(list(sent))
    chain.paths = find_paths(chain.sent, anchors)
    if chain.paths:
        if len(chain.sent) > MAX_CERTIFICATES or chain.message_bytes > MAX_CERTIFICATE_MESSAGE:
            chain.fault = (
                f"it sends {len(chain.sent)} certificates in {chain.message_bytes} bytes, too much for a board"
            )
            chain.remedy = f"boards read {MAX_CERTIFICATES} certificates and {MAX_CERTIFICATE_MESSAGE} bytes at most"
        return chain
    top = _top(chain.sent)
    issuer = plain_name(top.issuer)
    if _self_signed(top):
        chain.offered = _offered(top, leaf=top == chain.sent[0])
        if top == chain.sent[0]:
            chain.fault = "its certificate is self-signed: there is no CA above it"
        else:
            chain.fault = f"its chain ends in its own root '{issuer}', which no source holds"
        chain.remedy = (
            "if it is yours, compare the SHA-256 with the one its owner gives you, then add it with --add and --sha256"
        )
    elif any(anchor.index_key == index_key(issuer_name(top)) for anchor in anchors):
        chain.fault = f"its chain names the root '{issuer}', which did not sign it"
        chain.remedy = "do not trust it: the chain is wrong or forged"
    else:
        chain.fault = f"the chain is incomplete: the certificate of '{issuer}' is not sent, and it is no known root"
        chain.remedy = "let the server send its full chain, or name the private CA with --source FILE"
        if url := _issuer_url(top):
            chain.remedy = f"let the server send its full chain; the missing certificate is at {url}"
    return chain


def find_paths(sent: Sequence[x509.Certificate], anchors: Iterable[Anchor]) -> list[Route]:
    """Every path from sent[0] to an anchor, the shortest first; at most one for each anchor."""
    by_name: dict[bytes, list[Anchor]] = defaultdict(list)
    for anchor in anchors:
        by_name[anchor.index_key].append(anchor)
    found: dict[tuple[bytes, bytes, Kind], Route] = {}
    queue: deque[tuple[x509.Certificate, ...]] = deque([(sent[0],)])
    others = list(dict.fromkeys(sent[1:MAX_CERTIFICATES]))
    for _ in range(_MAX_STEPS):
        if not queue:
            break
        path = queue.popleft()
        last = path[-1]
        for anchor in by_name.get(index_key(issuer_name(last)), ()):
            if signs(anchor, last) and (anchor.kind is not Kind.EXACT or len(path) == 1):
                found.setdefault((*anchor.identity, anchor.kind), Route(path, anchor))
        # A certificate that signs itself leads nowhere.
        queue.extend((*path, other) for other in others if other not in path and _issued(last, other))
    return list(found.values())


def signs(anchor: Anchor, certificate: x509.Certificate) -> bool:
    """Whether the anchor's key made the certificate's signature; an exact record signs only for itself."""
    if anchor.kind is Kind.EXACT:
        return anchor.key == certificate.public_bytes(Encoding.DER)
    try:
        key = anchor.public_key()
        parameters = certificate.signature_algorithm_parameters
        data = certificate.tbs_certificate_bytes
        algorithm = certificate.signature_hash_algorithm
        if isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PKCS1v15 | padding.PSS) and algorithm:
            key.verify(certificate.signature, data, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(certificate.signature, data, parameters)
        else:
            return False
    except Exception:  # InvalidSignature, or an algorithm that cryptography does not know
        return False
    return True


def issuer_name(certificate: x509.Certificate) -> bytes:
    """The issuer's Name as it stands in the certificate (DER)."""
    tbs = certificate.tbs_certificate_bytes
    at = der_element(tbs, 0)[0]
    if tbs[at] == 0xA0:  # version
        at = der_element(tbs, at)[1]
    for _ in range(2):  # serialNumber, signature
        at = der_element(tbs, at)[1]
    return tbs[at : der_element(tbs, at)[1]]


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # another name, another key, an algorithm that cryptography does not know
        return False
    return True


def _self_signed(certificate: x509.Certificate) -> bool:
    return _issued(certificate, certificate)


def _top(sent: Sequence[x509.Certificate]) -> x509.Certificate:
    """Where the chain ends if each certificate is followed to one that signed it."""
    path = [sent[0]]
    while parents := [c for c in sent[:MAX_CERTIFICATES] if c not in path and _issued(path[-1], c)]:
        path.append(parents[0])
    return path[-1]


def _offered(certificate: x509.Certificate, *, leaf: bool) -> Anchor | None:
    """The anchor that a self-signed certificate could become."""
    try:
        return anchor_from_certificate(certificate, exact=leaf, source="the server")
    except UnfitCertificateError:
        return None


def _is(anchor: Anchor, certificate: x509.Certificate) -> bool:
    subject, spki, _ = certificate_fields(certificate)
    return (index_key(subject), sha256(spki).digest()) == anchor.identity


def _issuer_url(certificate: x509.Certificate) -> str:
    """Where the certificate says that its issuer's can be fetched (RFC 5280, 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except Exception:  # there is none, or an extension cannot be read
        return ""
    for description in access:
        location = description.access_location
        if description.access_method == AuthorityInformationAccessOID.CA_ISSUERS and isinstance(
            location, x509.UniformResourceIdentifier
        ):
            return plain(location.value)
    return ""


def plain_name(name: x509.Name) -> str:
    """A stranger's name for people and terminals."""
    return plain(describe_name(name))


# Stores


def judge(path: Path, host: Host, chains: Sequence[Chain]) -> Verdict:
    """Whether a board with the store at `path` connects to the host, whichever of its chains it gets."""
    store = read_store(path)[1]
    verdicts = [_judge(store, host, chain) for chain in chains]
    holds = all(verdict == "" for verdict in verdicts)
    words = "holds the root" if holds else next(filter(None, verdicts))
    if holds and 0 < store.header.not_used_after < time.time():
        holds, words = False, f"must not be used after {time_text(store.header.not_used_after)}"
    return Verdict(str(path), holds, words, store.header.sequence, store.envelope is not None)


def _judge(store: Store, host: Host, chain: Chain) -> str:
    """Why the store has no root for the chain, "" if it has one."""
    reason = "does not hold the root"
    for route in find_paths(chain.sent, store.anchors):
        anchor = route.anchor
        keys = [certificate_fields(certificate)[1] for certificate in route.certificates] + [anchor.spki]
        if any(sha256(key).digest()[:16] in store.blocked for key in keys):
            return "blocks a key of the chain"
        if anchor.dns_suffixes and not any(_within(host.name, suffix) for suffix in anchor.dns_suffixes):
            reason = f"holds the root for {', '.join(anchor.dns_suffixes)} only"
        elif not anchor.not_before <= time.time() <= anchor.not_after:
            reason = f"holds the root, which is valid only until {time_text(anchor.not_after)}"
        elif anchor.distrust_after is not None and validity(chain.sent[0])[0] > anchor.distrust_after:
            reason = f"holds the root, which lost trust for certificates after {time_text(anchor.distrust_after)}"
        else:
            return ""
    return reason


def _within(name: str, suffix: str) -> bool:
    name = name.lower().removesuffix(".")
    return name == suffix or name.endswith(f".{suffix}")


def extend_store(path: Path, anchors: Iterable[Anchor]) -> tuple[bytes, Store, list[Anchor]]:
    """(bytes, store, anchors that are new) of the store at `path` with more anchors and the next sequence, unsigned.

    With nothing new the bytes are those of the file, signature included.
    """
    data, store = read_store(path)
    known = {(*anchor.identity, anchor.kind, anchor.dns_suffixes) for anchor in store.anchors}
    new = [a for a in anchors if (*a.identity, a.kind, a.dns_suffixes) not in known]
    if not new:
        return data, store, []
    for anchor in new:
        if sha256(anchor.spki).digest()[:16] in store.blocked:
            raise HostError(f"{path} blocks the key of the root", remedy="do not trust it; see who blocked it, and why")
    now = int(time.time())
    issued_at = max([store.header.issued_at, *(a.not_before for a in new if a.not_before <= now)])
    data = build_store(
        [*store.anchors, *new],
        sequence=store.header.sequence + 1,
        issued_at=issued_at,
        not_used_after=store.header.not_used_after,
        blocked=store.blocked,
        publisher=store.publisher,
        series=store.header.series,
    )
    return data, decode_store(data), new


def extended_manifest(path: Path, data: bytes, store: Store, new: Iterable[Anchor]) -> dict[str, Any]:
    """The manifest of an extended store; names come from the one before."""
    known = known_names(path)
    content = manifest(data, store, new)
    for entry in content["anchors"]:
        origin = known.get((entry["index_key"], entry["spki_sha256"]), {})
        for name in ("subject", "name", "source", "sha256"):
            entry[name] = entry[name] or origin.get(name)
    return content


def vouched(chains: Iterable[Chain], fingerprint: str) -> list[Chain]:
    """The chains whose offered anchor has this SHA-256 (hexadecimal, with or without colons)."""
    digits = fingerprint.replace(":", "").replace(" ", "").lower()
    if len(digits) != 64 or not all(digit in "0123456789abcdef" for digit in digits):
        raise UsageError("a SHA-256 has 64 hexadecimal digits", remedy="give all of it, as the server's owner told you")
    return [
        chain
        for chain in chains
        if chain.offered is not None
        and chain.offered.certificate is not None
        and chain.offered.certificate.fingerprint(hashes.SHA256()).hex() == digits
    ]
