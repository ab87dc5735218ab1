"""The command `rootlet ca find`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from rich.markup import escape
from rich.table import Table

from .ca import (
    Chain,
    Verdict,
    examine,
    extend_store,
    extended_manifest,
    judge,
    load_anchors,
    plain_name,
    verify,
    vouched,
)
from .errors import EXIT_FAILED, HostError, UsageError
from .options import Commands, JsonOption, SourcesOption, optional
from .output import plain, print_json, print_table, remark, say
from .store.anchors import describe_key, normalise_suffixes
from .store.format import Anchor, Kind
from .store.hosts import Host, parse_host
from .store.manifest import describe_anchor, manifest_path, write_store
from .store.sources import MOZILLA

app = Commands("ca", "Find the root CA that a server needs.")


@app.command()
def find(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The server. The port is 443 if none is given.")],
    sources: SourcesOption = None,
    stores: Annotated[
        list[Path] | None,
        optional(
            "--store",
            metavar="FILE",
            help="Say whether this store holds the root. May be given several times. Default: certs/*.rtlt.",
        ),
    ] = None,
    add: Annotated[
        Path | None, optional("--add", metavar="STORE", help="Add the root to this store, whose sequence grows by 1.")
    ] = None,
    suffix: Annotated[
        list[str] | None,
        optional(
            metavar="DOMAIN", help="With --add: trust the root for names in DOMAIN only. May be given several times."
        ),
    ] = None,
    fingerprint: Annotated[
        str | None,
        optional(
            "--sha256",
            metavar="HEX",
            help="With --add: accept the self-signed certificate with this SHA-256, which its owner told you by "
            "another way than this connection.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Connect to a server, show the chain it sends, find its root, and say which of your stores holds it.

    Exit code 1 if the root is not known or the certificate is refused.
    """
    if add is None and (suffix or fingerprint):
        raise UsageError("--suffix and --sha256 are for --add", remedy="name the store with --add, or leave them out")
    server = parse_host(host, "HOST")
    anchors, notes = load_anchors(sources or [MOZILLA])
    chains = examine(server, anchors)
    if fingerprint is not None:
        _accept(server, chains, fingerprint)
    added = None
    if add is not None and not any(chain.fault for chain in chains):
        added = _add(add, chains, suffix or [])
    verdicts = _judge_all(stores, add, server, chains, notes)
    if as_json:
        print_json(
            {
                "host": server.name,
                "port": server.port,
                "chains": [_describe(chain) for chain in chains],
                "stores": [asdict(verdict) for verdict in verdicts],
                "added": added,
                "notes": notes,
            }
        )
        if any(chain.fault for chain in chains):
            raise typer.Exit(EXIT_FAILED)
        return
    for note in notes:
        remark(f"note: {plain(note)}")
    for chain in chains:
        _print_chain(server, chain)
    for verdict in verdicts:
        say(
            f"{verdict.path}: {verdict.words}" + ("" if verdict.sequence is None else f" (sequence {verdict.sequence})")
        )
    for chain in chains:
        if chain.fault:
            raise HostError(f"{server}: {chain.fault}", remedy=chain.remedy)
    if added is not None:
        _say_added(added)
    elif not any(verdict.holds for verdict in verdicts):
        words = ["rootlet", "ca", "find", str(server)]
        for source in sources or []:
            words += ["--source", source]
        words += ["--add", verdicts[0].path if verdicts else "STORE"]
        say(f"no store here lets a board connect; add the root with: {shlex.join(words)}")


def _accept(server: Host, chains: list[Chain], fingerprint: str) -> None:
    """Take what the server offers as trusted, since its owner vouched for it; then hold it to everything else."""
    accepted = vouched(chains, fingerprint)
    if not accepted:
        raise HostError(
            f"{server} sends no self-signed certificate with this SHA-256",
            remedy="do not trust it; ask its owner again",
        )
    for chain in accepted:
        chain.accept()
        verify(server, chain)


def _add(path: Path, chains: list[Chain], suffixes: list[str]) -> dict[str, Any]:
    limits = normalise_suffixes(suffixes)
    anchors = [replace(chain.anchor, dns_suffixes=limits) for chain in chains if chain.anchor is not None]
    data, store, new = extend_store(path, dict.fromkeys(anchors))
    if new:
        content = extended_manifest(path, data, store, new) if manifest_path(path).exists() else None
        write_store(path, data, content)
    return {
        "path": str(path),
        "state": "changed" if new else "unchanged",
        "sequence": store.header.sequence,
        "signed": store.envelope is not None,
        "anchors": [describe_anchor(anchor) for anchor in new],
    }


def _judge_all(
    stores: list[Path] | None, add: Path | None, host: Host, chains: list[Chain], notes: list[str]
) -> list[Verdict]:
    asked_for = list(dict.fromkeys([*(stores or []), *([add] if add else [])]))
    found = [judge(path, host, chains) for path in asked_for]
    for path in () if stores else sorted(Path("certs").glob("*.rtlt")):
        if path in asked_for:
            continue
        try:
            found.append(judge(path, host, chains))
        except HostError as error:  # nobody asked for this one
            found.append(Verdict(str(path), False, f"cannot be used ({error.message.removeprefix(f'{path}: ')})"))
    if not found:
        notes.append("no store was looked at: there is no certs/*.rtlt here and no --store was given")
    return found


# How it is shown


def _describe(chain: Chain) -> dict[str, Any]:
    return {
        "sent": [_describe_certificate(certificate, chain.role(certificate)) for certificate in chain.sent],
        "message_bytes": chain.message_bytes,
        "root": None if chain.anchor is None else describe_anchor(chain.anchor),
        "other_roots": [describe_anchor(route.anchor) for route in chain.paths[1:]],
        "offered": None if chain.offered is None else describe_anchor(chain.offered),
        "verified": chain.anchor is not None and not chain.fault,
        "fault": chain.fault or None,
        "remedy": chain.remedy or None,
    }


def _describe_certificate(certificate: x509.Certificate, role: str) -> dict[str, Any]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "not_before": certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "not_after": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "role": role,
    }


def _print_chain(server: Host, chain: Chain) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "subject", "issuer", "expires", "role"):
        table.add_column(heading)
    for number, certificate in enumerate(chain.sent):
        table.add_row(
            str(number),
            escape(plain_name(certificate.subject)),
            escape(plain_name(certificate.issuer)),
            f"{certificate.not_valid_after_utc:%Y-%m-%d}",
            chain.role(certificate),
        )
    count = len(chain.sent)
    say(f"{server} sends {count} certificate{'' if count == 1 else 's'} ({chain.message_bytes} bytes):")
    print_table(table)
    for what, anchor in (("root", chain.anchor), ("offers", chain.offered)):
        if anchor is not None and anchor.certificate is not None:
            say(f"{what}: {_describe_root(anchor)}")
    for route in chain.paths[1:]:
        say(f"also ends in: {_describe_root(route.anchor)}")


def _describe_root(anchor: Anchor) -> str:
    certificate = anchor.certificate
    if certificate is None:
        return f"key {anchor.spki.hex()[:16]}"
    kind = "this certificate only, " if anchor.kind is Kind.EXACT else ""
    return (
        f"{plain_name(certificate.subject)} ({kind}{describe_key(anchor)}, from {plain(anchor.source)}, until "
        f"{certificate.not_valid_after_utc:%Y-%m-%d}, SHA-256 {certificate.fingerprint(hashes.SHA256()).hex()})"
    )


def _say_added(added: dict[str, Any]) -> None:
    if added["state"] == "unchanged":
        say(f"unchanged: {added['path']} holds it already")
        return
    names = ", ".join(plain(entry["name"] or entry["spki_sha256"]) for entry in added["anchors"])
    say(f"added to {added['path']}: {names}; its sequence is {added['sequence']} now")
    say(f"it is not signed; for boards that want a signature: rootlet store sign {added['path']} --key NAME.key")
