"""What a store holds, for people and programs: the JSON beside a store and the table `show` prints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes

from ..errors import HostError, UsageError
from ..files import read_file, write_all
from .anchors import UnfitCertificateError, anchor_from_certificate, describe_key, describe_subject, time_text
from .format import Anchor, Store, load_certificate, record_size
from .sources import mozilla_certificates

# What is known of anchors, by index key and SPKI SHA-256 (both hex).
Names = dict[tuple[str, str], dict[str, Any]]


def manifest_path(store: Path) -> Path:
    """Where the manifest of a store lies: `roots.rtlt` has `roots.json` beside it."""
    if not store.name:
        raise UsageError(f"{store} is no name of a store", remedy="name a file, like roots.rtlt")
    return store.with_suffix(".json")


def manifest(data: bytes, store: Store, named: Iterable[Anchor] = ()) -> dict[str, Any]:
    """The manifest of a store. `named` are the anchors it was made from: they give names and sources.

    The same store gives the same manifest, whenever and wherever it is made.
    """
    origins = {anchor: anchor for anchor in named}
    return {
        "format": 1,
        "series": store.header.series or None,
        "sequence": store.header.sequence,
        "issued_at": time_text(store.header.issued_at),
        "not_used_after": time_text(store.header.not_used_after) if store.header.not_used_after else None,
        "digest": store.digest.hex(),
        "signed": store.envelope is not None,
        "publisher": None if store.publisher is None else _publisher(store.publisher),
        "bytes": len(data),
        "bytes_per_anchor": round(len(data) / len(store.anchors), 1) if store.anchors else None,
        "blocked": [key.hex() for key in store.blocked],
        "anchors": [describe_anchor(origins.get(anchor, anchor)) for anchor in store.anchors],
    }


def describe_anchor(anchor: Anchor) -> dict[str, Any]:
    """One anchor as a JSON object. `bytes` counts record and index entry; times are ISO 8601 in UTC."""
    certificate = anchor.certificate
    return {
        "subject": None if certificate is None else certificate.subject.rfc4514_string(),
        "name": None if certificate is None else describe_subject(certificate),
        "source": anchor.source or None,
        "kind": anchor.kind.name,
        "key": describe_key(anchor),
        "sha256": None if certificate is None else certificate.fingerprint(hashes.SHA256()).hex(),
        "spki_sha256": hashlib.sha256(anchor.spki).hexdigest(),
        "index_key": anchor.index_key.hex(),
        "not_before": time_text(anchor.not_before),
        "not_after": time_text(anchor.not_after),
        "distrust_after": None if anchor.distrust_after is None else time_text(anchor.distrust_after),
        "path_length": anchor.path_length,
        "dns_suffixes": list(anchor.dns_suffixes),
        "name_constraints": None if anchor.name_constraints is None else anchor.name_constraints.hex(),
        "bytes": record_size(anchor),
    }


def _publisher(der: bytes) -> dict[str, str]:
    certificate = load_certificate(der)
    return {"name": describe_subject(certificate), "sha256": certificate.fingerprint(hashes.SHA256()).hex()}


def write_store(path: Path, data: bytes, content: dict[str, Any] | None) -> None:
    """Write a store and, unless it is None, its manifest beside it (indented JSON, sorted keys): both or neither."""
    files = [(path, data, 0o644)]
    if content is not None:
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        files.append((manifest_path(path), text.encode(), 0o644))
    write_all(files, force=True)


def refreshed_manifest(data: bytes, store: Store, *, beside: Path) -> dict[str, Any] | None:
    """The manifest of a store that was changed after it was built, with the names from that of the store at `beside`;
    None if that has none."""
    known = _read_manifest(manifest_path(beside))
    if not known:
        return None
    content = manifest(data, store)
    for entry in content["anchors"]:
        origin = known.get((entry["index_key"], entry["spki_sha256"]), {})
        for name in ("subject", "name", "source", "sha256"):
            entry[name] = origin.get(name)
    return content


def known_names(path: Path) -> Names:
    """What is known of the anchors of the store at `path`, which holds no names: by index key and SPKI SHA-256.

    From Mozilla's list and the manifest beside the store, if there is one.
    """
    known: Names = {}
    for certificate in mozilla_certificates():
        try:
            entry = describe_anchor(anchor_from_certificate(certificate))
        except UnfitCertificateError:
            continue
        known[entry["index_key"], entry["spki_sha256"]] = entry
    known.update(_read_manifest(manifest_path(path)))
    return known


def _read_manifest(path: Path) -> Names:
    try:
        entries = json.loads(read_file(path, "the manifest"))["anchors"]
        return {(entry["index_key"], entry["spki_sha256"]): entry for entry in entries}
    except (HostError, ValueError, RecursionError, KeyError, TypeError):
        return {}  # no manifest, or not one of ours: names are a convenience
