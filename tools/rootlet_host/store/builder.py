"""Builds a store: reads sources, filters, merges, and decides sequence and issue time so that builds repeat."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ..errors import HostError, UsageError
from ..files import read_file
from ..output import count_of
from .anchors import UnfitCertificateError, anchor_from_certificate, describe_subject, time_text
from .format import NO_LIMIT, Anchor, Header, Store, StoreFormatError, decode_store, encode_store
from .hosts import HostNeeds, read_host_list, roots_for_hosts
from .sources import MOZILLA, Source, SourceCertificate, read_source, single_certificate

# What a board loads of one subject in one handshake: lib/rootlet/store.py, TrustStore.MAX_ANCHORS_PER_NAME.
ANCHORS_PER_SUBJECT = 4


@dataclass(frozen=True)
class BuildOptions:
    """What `rootlet store build` was asked for. Times are seconds since 1970; None means derived."""

    sources: Sequence[str] = (MOZILLA,)
    ecc_only: bool = False
    host_list: Path | None = None
    maximum: int | None = None
    suffixes: Sequence[str] = ()
    exact: bool = False
    blocked: Sequence[bytes] = ()
    publisher: bytes | None = None
    issued_at: int | None = None
    not_used_after: int = 0
    series: str | None = None


@dataclass(frozen=True)
class Contents:
    """What goes into a store, apart from its sequence. `series`: None for that of the store it takes the place of."""

    anchors: tuple[Anchor, ...]
    issued_at: int
    not_used_after: int
    blocked: tuple[bytes, ...] = ()
    publisher: bytes | None = None
    series: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def encode(self, sequence: int) -> bytes:
        """The unsigned file with this sequence."""
        return build_store(
            self.anchors,
            sequence=sequence,
            issued_at=self.issued_at,
            not_used_after=self.not_used_after,
            blocked=self.blocked,
            publisher=self.publisher,
            series=self.series or "",
        )


def build_store(
    anchors: Iterable[Anchor],
    *,
    sequence: int,
    issued_at: int,
    not_used_after: int = 0,
    blocked: Iterable[bytes] = (),
    publisher: bytes | None = None,
    series: str = "",
) -> bytes:
    """The file of an unsigned store.

    `blocked` holds SHA-256 values of SubjectPublicKeyInfo (16 bytes of each are kept), `publisher` is the DER of
    the CA certificate whose signatures a board accepts from then on. The same arguments, in any order of the
    anchors, give the same bytes. Raises `StoreFormatError` if something does not fit.
    """
    header = Header(sequence, issued_at, not_used_after, series)
    return encode_store(header, anchors, blocked=blocked, publisher=publisher)


def build_time() -> int:
    """The time of the build: `SOURCE_DATE_EPOCH` if set (reproducible-builds.org), else now."""
    text = os.environ.get("SOURCE_DATE_EPOCH")
    now = int(time.time())
    if not text:
        return now
    if not text.isdigit() or int(text) > now:
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, which is no time in the past", remedy="correct or unset it")
    return int(text)


def collect(options: BuildOptions) -> Contents:
    """Read the sources and apply every filter. Connects to hosts only if there is a host list."""
    sources = [read_source(text) for text in dict.fromkeys(options.sources)]
    private = [source for source in sources if not source.public]
    if (options.suffixes or options.exact) and not private:
        raise UsageError("--suffix and --exact are for certificates from files", remedy="name a PEM or DER file")
    if options.suffixes and options.exact:
        raise UsageError(
            "--suffix and --exact exclude each other: an exact certificate names its own hosts", remedy="leave one out"
        )
    notes = [note for source in sources for note in source.notes]
    now = build_time()
    candidates = [
        anchor
        for source in sources
        for entry in source.certificates
        if (anchor := _anchor(entry, source, options, now, notes)) is not None
    ]
    anchors = _merge(candidates, notes)
    if options.ecc_only:
        anchors = _filter(anchors, lambda a: isinstance(a.public_key(), ec.EllipticCurvePublicKey), notes, "no EC key")
    blocked = {key[:16] for key in options.blocked}
    anchors = _filter(anchors, lambda a: hashlib.sha256(a.spki).digest()[:16] not in blocked, notes, "key blocked")
    needs: HostNeeds = {}
    if options.host_list is not None:
        needs = roots_for_hosts(read_host_list(options.host_list), anchors)
        anchors = _filter(anchors, lambda a: a in needs, notes, "no host of the list needs it")
    if options.maximum is not None and len(anchors) > options.maximum:
        notes.append(f"{count_of(len(anchors) - options.maximum, 'anchor')} left out: --max {options.maximum}")
        own = {entry.source for source in private for entry in source.certificates}
        anchors = sorted(anchors, key=lambda a: _rank(a, needs, own))[: options.maximum]
    crowds = Counter(anchor.index_key for anchor in anchors)
    for anchor in anchors:
        if crowds.pop(anchor.index_key, 0) > ANCHORS_PER_SUBJECT and anchor.certificate is not None:
            name = describe_subject(anchor.certificate)
            notes.append(f"boards use only {ANCHORS_PER_SUBJECT} of the anchors with the subject {name}")
    if not anchors:
        raise UsageError("no anchor is left to put into the store", remedy="see the filters and sources given")
    issued_at = _issued_at(options, anchors, sources, now)
    return Contents(
        tuple(anchors),
        issued_at,
        options.not_used_after,
        tuple(blocked),
        options.publisher,
        options.series,
        tuple(notes),
    )


def _anchor(
    entry: SourceCertificate, source: Source, options: BuildOptions, now: int, notes: list[str]
) -> Anchor | None:
    try:
        anchor = anchor_from_certificate(
            entry.certificate,
            exact=options.exact and not source.public,
            suffixes=() if source.public else options.suffixes,
            source=entry.source,
            distrust_after=entry.distrust_after,
        )
    except UnfitCertificateError as error:
        if source.public:
            notes.append(f"skipped: {entry.place} {error}")
            return None
        remedy = "for a self-signed server give --exact" if "is no CA" in str(error) else ""
        raise UsageError(f"{entry.place} {error}", remedy=remedy) from error
    if anchor.not_after < now:
        name = describe_subject(entry.certificate)
        notes.append(f"skipped: {entry.place} ({name}) expired {time_text(anchor.not_after)}")
        return None
    return anchor


def _merge(candidates: Iterable[Anchor], notes: list[str]) -> list[Anchor]:
    """One anchor for all that say the same of the same key: the longest validity, the earliest distrust."""
    merged: dict[tuple[object, ...], Anchor] = {}
    duplicates = 0
    for anchor in candidates:
        same = (
            anchor.index_key,
            anchor.kind,
            anchor.key,
            anchor.path_length,
            anchor.dns_suffixes,
            anchor.name_constraints,
        )
        other = merged.get(same)
        if other is None:
            merged[same] = anchor
            continue
        duplicates += 1
        kept = anchor if anchor.not_after > other.not_after else other
        dates = [date for date in (anchor.distrust_after, other.distrust_after) if date is not None]
        merged[same] = replace(kept, distrust_after=min(dates, default=None))
    if duplicates:
        notes.append(f"{duplicates} duplicate certificates merged")
    return list(merged.values())


def _filter(anchors: list[Anchor], wanted: Callable[[Anchor], bool], notes: list[str], reason: str) -> list[Anchor]:
    kept = [anchor for anchor in anchors if wanted(anchor)]
    if len(kept) < len(anchors):
        notes.append(f"{count_of(len(anchors) - len(kept), 'anchor')} left out: {reason}")
    return kept


def _rank(anchor: Anchor, needs: HostNeeds, own: set[str]) -> tuple[bool, int, int, bytes, bytes]:
    """What --max keeps first: the user's own CAs, then the roots most hosts need, then those valid longest."""
    return anchor.source not in own, -len(needs.get(anchor, ())), -anchor.not_after, anchor.index_key, anchor.key


def _issued_at(options: BuildOptions, anchors: Iterable[Anchor], sources: Iterable[Source], now: int) -> int:
    """The time of issue is a floor under the clocks of boards, so it must have passed on every machine.

    It follows from the inputs, so that a build can be repeated: the latest of the certificates' notBefore and of
    the list's release date that is not in the future.
    """
    if options.issued_at is not None:
        if options.issued_at > time.time():
            raise UsageError(
                f"the time of issue {time_text(options.issued_at)} is in the future",
                remedy="boards would refuse every clock until then",
            )
        return options.issued_at
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return now
    times = [anchor.not_before for anchor in anchors] + [source.released_at for source in sources]
    return max((moment for moment in times if moment <= now), default=0)


@dataclass(frozen=True)
class Release:
    """A built store, and how it relates to the one that was there before: `new`, `unchanged` or `changed`."""

    data: bytes
    store: Store
    state: str
    note: str = ""


def release(contents: Contents, output: Path, sequence: int | None = None) -> Release:
    """Give `contents` a sequence: the one asked for, else that of an equal store at `output`, else one more; and its
    series, where they have none of their own.

    If the store at `output` says exactly the same, its bytes are returned as they are, signature included.
    """
    existing = None
    if output.exists():
        try:
            previous = read_file(output, "the store")
            existing = decode_store(previous)
        except HostError as error:
            if sequence is None:
                raise HostError(
                    f"cannot tell the next sequence from {output}: {error.message}",
                    remedy="remove the file or give --sequence",
                ) from error
    if existing is not None and contents.series is None:
        contents = replace(contents, series=existing.header.series)
    if existing is not None and sequence in (None, existing.header.sequence):
        data = contents.encode(existing.header.sequence)
        if previous.startswith(data):
            return Release(previous, existing, "unchanged")
    if sequence is None:
        sequence = existing.header.sequence + 1 if existing else 1
    if not 0 <= sequence <= NO_LIMIT:
        raise UsageError(f"the sequence {sequence} does not fit into 32 bits")
    data = contents.encode(sequence)
    note = ""
    if existing is not None:
        before, series = existing.header, contents.series
        if sequence <= before.sequence:
            note = f"the sequence {sequence} is not above {before.sequence}: boards that have that store refuse this"
        elif before.series not in ("", series):
            note = f"the series is not {before.series} any more: boards that have that store refuse this"
    return Release(data, decode_store(data), "changed" if existing else "new", note)


def read_store(path: Path) -> tuple[bytes, Store]:
    """(bytes, decoded store) of a file; `StoreFormatError` names the file and the fault."""
    data = read_file(path, "the store")
    try:
        return data, decode_store(data)
    except StoreFormatError as error:
        raise StoreFormatError(f"{path}: {error.message}", remedy="copy it again, or build it anew") from error


def publisher_der(path: Path) -> bytes:
    """The DER of the one publisher CA certificate in a PEM or DER file."""
    certificate = single_certificate(path, "the publisher's certificate")
    return certificate.public_bytes(serialization.Encoding.DER)
