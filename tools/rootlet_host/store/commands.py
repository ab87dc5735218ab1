"""The commands `rootlet store build`, `show`, `diff`, `check`, `sign` and `verify`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from rich.markup import escape
from rich.table import Table

from ..errors import UsageError
from ..files import make_folder
from ..keys import load_publisher
from ..options import Commands, JsonOption, StoreArgument, optional
from ..output import count_of, plain, print_json, print_table, remark, say
from ..signing import SignatureError, set_publisher, sign_store, verify_store
from .anchors import describe_subject, time_text
from .blocked import blocked_key
from .builder import BuildOptions, build_time, collect, publisher_der, read_store, release
from .diff import compare
from .format import Store, decode_store, is_series
from .manifest import Names, known_names, manifest, manifest_path, refreshed_manifest, write_store
from .sources import MOZILLA, single_certificate

app = Commands("store", "Build, show, check and sign trust stores; list those of boards.")

DEFAULT_STORE = Path("certs/roots.rtlt")
_MAX_SEQUENCE = 0xFFFFFFFF
_PUBLISHER = "the publisher's certificate"


@app.command()
def build(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="mozilla (the default), a PEM or DER file, a folder, or NSS's certdata.txt. Several are merged.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, optional("--output", "-o", metavar="FILE", help=f"The store to write. Default: {DEFAULT_STORE}.")
    ] = None,
    ecc_only: Annotated[bool, typer.Option("--ecc-only", help="Keep only anchors with an elliptic-curve key.")] = False,
    host_list: Annotated[
        Path | None,
        optional(
            metavar="FILE",
            help="Keep only the roots that the hosts in FILE (one a line) chain to. Connects to every host.",
        ),
    ] = None,
    maximum: Annotated[
        int | None,
        optional(
            "--max",
            metavar="N",
            min=1,
            help="Keep at most N anchors: your own first, then those most hosts need, then those valid longest.",
        ),
    ] = None,
    suffix: Annotated[
        list[str] | None,
        optional(
            metavar="DOMAIN", help="Trust the CAs from files only for names in DOMAIN. May be given several times."
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="The files hold self-signed servers: trust each as itself only.")
    ] = False,
    block: Annotated[
        list[str] | None,
        optional(
            metavar="KEY",
            help="Never accept this key: SHA-256 of the SubjectPublicKeyInfo (hex or sha256/base64), or a file with "
            "the certificate or public key. May be given several times.",
        ),
    ] = None,
    publisher: Annotated[
        Path | None,
        optional(
            metavar="CA.pem", help="Carry this publisher: boards accept its signatures once they have this store."
        ),
    ] = None,
    series: Annotated[
        str | None,
        optional(
            metavar="NAME",
            help="What tells this store from others that you sign: up to 4 of a-z, 0-9, hyphen. A board that has a "
            "store of a series takes no other in its place. Default: that of the store at FILE, else none.",
        ),
    ] = None,
    sequence: Annotated[
        int | None,
        optional(
            metavar="N",
            help="Sequence number. Default: kept if the store at FILE has the same content, else one more than that.",
        ),
    ] = None,
    issued_at: Annotated[
        str | None,
        optional(
            metavar="TIME",
            help="Time of issue, below which boards take no clock. Default: SOURCE_DATE_EPOCH, else the latest of the "
            "certificates' notBefore and the release date of Mozilla's list.",
        ),
    ] = None,
    not_used_after: Annotated[
        str | None, optional(metavar="TIME", help="Boards make no connection with the store after this time.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build a trust store, and a manifest FILE.json beside it.

    `rootlet store show` lists what it holds.

    TIME is 2026-12-31, 2026-12-31T12:00:00Z or seconds since 1970. The same inputs give the same bytes.
    """
    if sequence is not None and not 0 <= sequence <= _MAX_SEQUENCE:
        raise UsageError(f"a sequence is 0 to {_MAX_SEQUENCE}, not {sequence}")
    if series is not None and not is_series(series):
        raise UsageError(f"a series is up to four of a-z, 0-9 and hyphen, not {series!r}", remedy="shorten it: site")
    target = output or DEFAULT_STORE
    if manifest_path(target) == target:
        raise UsageError("the store's name must not end in .json", remedy="that is the manifest's")
    contents = collect(
        BuildOptions(
            sources=sources or [MOZILLA],
            ecc_only=ecc_only,
            host_list=host_list,
            maximum=maximum,
            suffixes=suffix or (),
            exact=exact,
            blocked=tuple(blocked_key(text) for text in block or ()),
            publisher=None if publisher is None else publisher_der(publisher),
            issued_at=None if issued_at is None else _parse_time(issued_at),
            not_used_after=0 if not_used_after is None else _parse_time(not_used_after),
            series=series,
        )
    )
    result = release(contents, target, sequence)
    content = manifest(result.data, result.store, contents.anchors)
    notes = [*contents.notes, *filter(None, [result.note])]
    if output is None:
        make_folder(target.parent)
    write_store(target, result.data, content)
    if as_json:
        print_json({**content, "path": str(target), "state": result.state, "notes": notes})
        return
    for note in notes:
        remark(f"note: {note}")
    _print_summary(content)
    say(f"{result.state}: {target} and {manifest_path(target)}")


@app.command()
def show(
    store: StoreArgument,
    as_json: JsonOption = False,
) -> None:
    """Show what a store holds.

    Names come from the manifest beside it and from Mozilla's list.
    """
    data, decoded = read_store(store)
    content = manifest(data, decoded)
    known = known_names(store)
    for entry in content["anchors"]:
        _name(entry, known)
    if as_json:
        print_json({**content, "path": str(store)})
    else:
        _print_table(content)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The store before.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The store after.")],
    as_json: JsonOption = False,
) -> None:
    """Show what changed from one store to another."""
    difference = compare(read_store(old)[1], read_store(new)[1])
    known = {**known_names(old), **known_names(new)}
    for entry in difference["added"] + difference["removed"] + difference["changed"]:
        _name(entry, known)
    if as_json:
        print_json(difference)
        return
    lines = [f"{name}: {before} -> {after}" for name, (before, after) in difference["header"].items()]
    lines += [f"+ {_label(entry)}" for entry in difference["added"]]
    lines += [f"- {_label(entry)}" for entry in difference["removed"]]
    for entry in difference["changed"]:
        changes = ", ".join(f"{name} {before} -> {after}" for name, (before, after) in entry["changes"].items())
        lines.append(f"~ {_label(entry)}: {changes}")
    lines += [f"+ blocked key {key}" for key in difference["blocked"]["added"]]
    lines += [f"- blocked key {key}" for key in difference["blocked"]["removed"]]
    if difference["publisher"]:
        lines.append("the publisher it carries is another")
    for line in lines or ["no difference"]:
        say(line)


@app.command()
def check(
    store: StoreArgument,
    publisher: Annotated[
        Path | None, optional(metavar="CA.pem", help="Also verify that this publisher signed it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every rule of the file format; the first one that is broken is the error."""
    data, decoded = read_store(store)
    words = "valid, not signed" if decoded.envelope is None else "valid, signature not checked (no --publisher)"
    if publisher is not None:
        verify_store(data, single_certificate(publisher, _PUBLISHER))
        words = "valid and signed by the publisher"
    count, header = len(decoded.anchors), decoded.header
    if as_json:
        signature = "none" if decoded.envelope is None else "not checked" if publisher is None else "verified"
        print_json(
            {
                "path": str(store),
                "anchors": count,
                "series": header.series or None,
                "sequence": header.sequence,
                "digest": decoded.digest.hex(),
                "signature": signature,
                "not_used_after": time_text(header.not_used_after) if header.not_used_after else None,
            }
        )
    else:
        say(f"{store}: {words}; {count_of(count, 'anchor')}, sequence {header.sequence}")
    if 0 < header.not_used_after < build_time():
        remark(f"note: not used after {time_text(header.not_used_after)}: boards make no connection with it")


@app.command()
def sign(
    store: StoreArgument,
    key: Annotated[Path, typer.Option("--key", metavar="NAME.key", help="The publisher's key.")],
    cert: Annotated[
        Path | None, optional(metavar="CA.pem", help="The publisher's certificate. Default: NAME.pem.")
    ] = None,
    next_publisher: Annotated[
        Path | None, optional(metavar="CA.pem", help="Carry this publisher: boards accept its signatures next.")
    ] = None,
    output: Annotated[Path | None, optional("--output", "-o", metavar="FILE", help="Write here, not to STORE.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a store.

    A signed store that gets another publisher to carry is a new release: its sequence grows by 1.
    """
    data, decoded = read_store(store)
    target = output or store
    ca_key, ca_cert = load_publisher(key, cert)
    state = "signed"
    if next_publisher is not None:
        following = single_certificate(next_publisher, "the next publisher's certificate")
        if following.public_bytes(Encoding.DER) != decoded.publisher:
            sequence = decoded.header.sequence + (decoded.envelope is not None)
            data = set_publisher(data, following, sequence=sequence)
    try:
        verify_store(data, ca_cert)
        state = "already signed"
    except SignatureError:
        data = sign_store(data, ca_key, ca_cert)
    signed = decode_store(data)
    write_store(target, data, refreshed_manifest(data, signed, beside=store))
    _print_verified(target, signed, ca_cert, state, as_json)


@app.command()
def verify(
    store: StoreArgument,
    publisher: Annotated[Path, typer.Option(metavar="CA.pem", help="The publisher's certificate.")],
    as_json: JsonOption = False,
) -> None:
    """Verify that a publisher signed exactly this store with exactly this sequence."""
    data, _ = read_store(store)
    verified = verify_store(data, single_certificate(publisher, _PUBLISHER))
    _print_verified(store, verified.store, verified.publisher, "signed", as_json)


def _print_verified(path: Path, store: Store, publisher: x509.Certificate, state: str, as_json: bool) -> None:
    fingerprint = publisher.fingerprint(hashes.SHA256()).hex()
    name, sequence, digest = describe_subject(publisher), store.header.sequence, store.digest.hex()
    if as_json:
        print_json(
            {
                "path": str(path),
                "state": state,
                "sequence": sequence,
                "digest": digest,
                "publisher": {"name": name, "sha256": fingerprint},
            }
        )
        return
    say(f"{path}: {state} by {plain(name)} (certificate {fingerprint})")
    say(f"sequence {sequence}, digest {digest}")


def _print_table(content: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "key", "expires"):
        table.add_column(heading)
    table.add_column("bytes", justify="right")
    for entry in sorted(content["anchors"], key=lambda entry: str(entry["name"]).casefold()):
        limits = [f"only {name}" for name in entry["dns_suffixes"]]
        if entry["kind"] == "EXACT":
            limits.append("this certificate only")
        if entry["distrust_after"]:
            limits.append(f"leaves issued until {entry['distrust_after'][:10]}")
        label = f"{_label(entry)} ({', '.join(limits)})" if limits else _label(entry)
        table.add_row(escape(label), entry["key"], entry["not_after"][:10], str(entry["bytes"]))
    print_table(table)
    _print_summary(content)


def _print_summary(content: dict[str, Any]) -> None:
    per_root = f", {content['bytes_per_anchor']} each" if content["anchors"] else ""
    signed = "signed" if content["signed"] else "not signed"
    say(
        f"{count_of(len(content['anchors']), 'anchor')} in {content['bytes']} bytes{per_root}; "
        f"sequence {content['sequence']}, issued {content['issued_at']}, {signed}"
    )
    if content["series"]:
        say(f"series {content['series']}")
    if content["not_used_after"]:
        say(f"not used after {content['not_used_after']}")
    if content["blocked"]:
        say(count_of(len(content["blocked"]), "blocked key"))
    if content["publisher"]:
        say(f"carries the publisher {plain(content['publisher']['name'])}")


def _name(entry: dict[str, Any], known: Names) -> None:
    """Give a described anchor the names that are known of it."""
    origin = known.get((entry["index_key"], entry["spki_sha256"]), {})
    for field in ("subject", "name"):
        entry[field] = entry[field] or origin.get(field)


def _label(entry: dict[str, Any]) -> str:
    """The anchor's name, or the beginning of its key's hash."""
    return plain(entry["name"] or f"key {entry['spki_sha256'][:16]}")


def _parse_time(text: str) -> int:
    """Seconds since 1970 of a date, a time in ISO 8601 (UTC if it names no zone), or a number."""
    if text.isdigit():
        seconds = int(text)
    else:
        try:
            moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError as error:
            raise UsageError(f"{text!r} is no time", remedy="write 2026-12-31 or 2026-12-31T12:00:00Z") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = int(moment.timestamp())
    if not 0 < seconds < 0xFFFFFFFF:
        raise UsageError(f"{text} is outside 1970 to 2106, the times a store can hold")
    return seconds
