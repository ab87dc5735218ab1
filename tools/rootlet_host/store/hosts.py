"""Which roots a list of hosts needs: connects to each, reads the chain it presents and finds the root above it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from ..errors import HostError, UsageError
from ..files import read_file
from .format import Anchor, certificate_fields, load_certificate

TIMEOUT_S = 10.0
_WORKERS = 8
_MAX_DEPTH = 10
# A server may hold an RSA and an ECDSA chain that end in different roots, and a board that speaks TLS 1.2 may get
# another one than this program: so each is asked for.
CIPHERS = (None, "ECDHE+ECDSA", "ECDHE+aRSA")

HostNeeds = dict[Anchor, set[str]]


@dataclass(frozen=True)
class Host:
    """A server to ask. `name` is the DNS name or IP address, as dialled and as verified."""

    name: str
    port: int = 443

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return name if self.port == 443 else f"{name}:{self.port}"


def read_host_list(path: Path) -> list[Host]:
    """The hosts of a file: one `host` or `host:port` a line, `#` begins a comment."""
    try:
        lines = read_file(path, "the host list").decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"the host list {path} is not UTF-8 text", remedy="save it as UTF-8") from error
    hosts: dict[Host, None] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            hosts[parse_host(text, f"line {number} of {path.name}")] = None
    if not hosts:
        raise UsageError(f"the host list {path} names no host", remedy="write one host a line")
    return list(hosts)


def parse_host(text: str, where: str) -> Host:
    """The host of `host`, `host:port` or `[address]:port`; `where` names the text if it is none."""
    name, _, port = text, "", ""
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        name, _, port = text.partition(":")
    if not name or "/" in name or " " in name or (port and not port.isdigit()) or not 0 < int(port or 443) < 65536:
        raise UsageError(f"{where} is not a host: {text!r}", remedy="write example.org or example.org:8443")
    return Host(name, int(port or 443))


def roots_for_hosts(hosts: Iterable[Host], anchors: Sequence[Anchor]) -> HostNeeds:
    """The anchors that the chains of `hosts` end in, each with the names of the hosts that need it.

    Every anchor found is proved by a second, fully verified connection that trusts nothing else. Raises
    `HostError` that names each host which failed and why.
    """
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = list(pool.map(lambda host: _try_host(host, anchors), hosts))
    failures = [result for result in results if isinstance(result, str)]
    if failures:
        raise HostError(
            f"{len(failures)} of {len(results)} hosts failed: " + "; ".join(failures),
            remedy="correct the list, or add a source that holds the missing root",
        )
    needs: HostNeeds = {}
    for result in results:
        if not isinstance(result, str):
            for anchor in result[1]:
                needs.setdefault(anchor, set()).add(str(result[0]))
    return needs


def _try_host(host: Host, anchors: Sequence[Anchor]) -> tuple[Host, list[Anchor]] | str:
    """(host, anchors it needs), or what went wrong."""
    try:
        chains = read_chains(host)
    except HostError as error:
        return error.message
    found: dict[Anchor, None] = {}
    for ciphers, chain in chains:
        anchor = find_root(chain, anchors)
        if anchor is None:
            issuer = chain[-1].issuer.rfc4514_string()
            return f"{host}: none of the sources holds the root of its chain (issuer {issuer})"
        if anchor in found:
            continue
        try:
            prove(host, ciphers, anchor)
        except ssl.SSLCertVerificationError as error:
            return f"{host}: its certificate is refused ({error.verify_message})"
        except OSError as error:
            return f"{host}: {connection_fault(error)}"
        found[anchor] = None
    return host, list(found)


def connection_fault(error: Exception) -> str:
    """Why a connection failed, in words."""
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    return str(getattr(error, "strerror", None) or error)


def read_chains(host: Host) -> list[tuple[str | None, list[x509.Certificate]]]:
    """The different chains that `host` sends, each with what was offered to get it: one of CIPHERS.

    Raises `HostError` if there is no TLS connection, or a certificate that cannot be read.
    """
    chains: list[tuple[str | None, list[x509.Certificate]]] = []
    complaint = ""
    for ciphers in CIPHERS:
        try:
            sent = read_chain(host, ciphers)
        except ssl.SSLError as error:
            complaint = complaint or f"no TLS connection ({error.reason or error})"
            continue  # the host has no certificate of this kind, or speaks no TLS 1.2
        except (OSError, UnicodeError) as error:
            raise HostError(f"{host}: {connection_fault(error)}", remedy="check host and port") from error
        except ValueError as error:
            raise HostError(
                f"{host} sends a certificate that cannot be read: {error}", remedy="its owner must replace it"
            ) from error
        if not sent:
            complaint = complaint or "it sends no certificate"
        elif not any(chain[0] == sent[0] for _, chain in chains):
            chains.append((ciphers, sent))
    if not chains:
        raise HostError(f"{host}: {complaint}", remedy="check host and port, and that the server speaks TLS 1.2")
    return chains


def read_chain(host: Host, ciphers: str | None = None) -> list[x509.Certificate]:
    """The certificates `host` presents, leaf first. Nothing is verified here and nothing is sent.

    Raises OSError without a connection, and ValueError for a certificate that cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only reads the chain; find_root and prove verify it
    with _connect(host, context, ciphers) as connection:
        if hasattr(connection, "get_unverified_chain"):  # Python 3.13
            ders = connection.get_unverified_chain()
        else:
            sslobj = getattr(connection, "_sslobj")  # noqa: B009 - private before 3.13, so not in the types
            ders = [certificate.public_bytes(ssl._ssl.ENCODING_DER) for certificate in sslobj.get_unverified_chain()]  # type: ignore[attr-defined]
    try:
        return [load_certificate(der) for der in ders]
    except Exception as error:  # cryptography answers with several classes
        raise ValueError(str(error)) from error


def prove(host: Host, ciphers: str | None, anchor: Anchor) -> None:
    """Connect again with full verification and `anchor` as the only root."""
    if anchor.certificate is None:
        raise ValueError("the anchor was not made from a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # an anchor need not be self-signed
    context.load_verify_locations(cadata=anchor.certificate.public_bytes(serialization.Encoding.DER))
    with _connect(host, context, ciphers):
        pass


def _connect(host: Host, context: ssl.SSLContext, ciphers: str | None) -> ssl.SSLSocket:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    connection = socket.create_connection((host.name, host.port), timeout=TIMEOUT_S)
    try:
        return context.wrap_socket(connection, server_hostname=host.name)
    except BaseException:
        connection.close()
        raise


def find_root(chain: Sequence[x509.Certificate], anchors: Sequence[Anchor]) -> Anchor | None:
    """The anchor nearest to the leaf that signed something in the chain, followed by names and signatures.

    Like Mbed TLS, looks among the anchors before the presented certificates, so a cross-signed chain stops at the
    first root that is known.
    """
    if not chain:
        return None
    certificate, others = chain[0], list(chain[1:])
    for _ in range(_MAX_DEPTH):
        for anchor in anchors:
            issuer = anchor.certificate
            if issuer is not None and (issuer == certificate or _signed(certificate, issuer)):
                return anchor
        parent = next((other for other in others if _signed(certificate, other)), None)
        if parent is None:
            return None
        others.remove(parent)
        certificate = parent
    return None


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # another name, another key, an algorithm cryptography does not know: not signed by it
        return False
    return certificate_fields(certificate)[1] != certificate_fields(issuer)[1]
