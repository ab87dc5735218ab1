"""What changed between two stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from .format import Anchor, Store
from .manifest import describe_anchor

_CHANGEABLE = ("kind", "not_before", "not_after", "distrust_after", "path_length", "dns_suffixes", "name_constraints")
_HEADER = ("series", "sequence", "issued_at", "not_used_after")


def compare(old: Store, new: Store) -> dict[str, Any]:
    """The difference as JSON: `header`, `added`, `removed`, `changed`, `blocked`, `publisher`.

    Two records are versions of one anchor if subject and key agree; `changed` gives [old, new] of each field.
    """
    remaining = set(old.anchors) ^ set(new.anchors)
    before = _by_identity(anchor for anchor in old.anchors if anchor in remaining)
    after = _by_identity(anchor for anchor in new.anchors if anchor in remaining)
    added: list[dict[str, Any]] = []
    removed: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    for identity in sorted(before.keys() | after.keys()):
        left, right = before[identity], after[identity]
        while left and right:
            changed.append(_change(left.pop(0), right.pop(0)))
        removed += [describe_anchor(anchor) for anchor in left]
        added += [describe_anchor(anchor) for anchor in right]
    return {
        "header": {
            name: [getattr(old.header, name), getattr(new.header, name)]
            for name in _HEADER
            if getattr(old.header, name) != getattr(new.header, name)
        },
        "added": added,
        "removed": removed,
        "changed": changed,
        "blocked": {
            "added": [key.hex() for key in sorted(set(new.blocked) - set(old.blocked))],
            "removed": [key.hex() for key in sorted(set(old.blocked) - set(new.blocked))],
        },
        "publisher": None if old.publisher == new.publisher else [_hex(old.publisher), _hex(new.publisher)],
        "same_content": old.digest == new.digest,
    }


def _by_identity(anchors: Iterable[Anchor]) -> defaultdict[tuple[bytes, bytes], list[Anchor]]:
    result: defaultdict[tuple[bytes, bytes], list[Anchor]] = defaultdict(list)
    for anchor in anchors:
        result[anchor.identity].append(anchor)
    return result


def _change(old: Anchor, new: Anchor) -> dict[str, Any]:
    before, after = describe_anchor(old), describe_anchor(new)
    return {
        **after,
        "changes": {name: [before[name], after[name]] for name in _CHANGEABLE if before[name] != after[name]},
    }


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
