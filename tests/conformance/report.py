"""The page docs/conformance.md, made from the results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from .reasons import REASONS


class Result(Protocol):
    """What run.Result offers."""

    id: str
    policy: str
    expected: str
    actual: str

    @property
    def agrees(self) -> bool: ...


def count(results: Iterable[Result]) -> dict[str, tuple[int, int, int, int]]:
    """By policy: agree, wrongly accepted, wrongly rejected, all."""
    counts: dict[str, tuple[int, int, int, int]] = {}
    for result in results:
        agree, accepted, rejected, total = counts.get(result.policy, (0, 0, 0, 0))
        counts[result.policy] = (
            agree + result.agrees,
            accepted + (not result.agrees and result.actual == "SUCCESS"),
            rejected + (not result.agrees and result.actual == "FAILURE"),
            total + 1,
        )
    return counts


def reason_for(result: Result) -> str | None:
    """Title of the reason for a disagreement; None if there is none."""
    for title, _, policies, ids in REASONS:
        if result.policy in policies and result.id in ids:
            return title
    return None


def digest(cases: Path) -> str:
    return hashlib.sha256(cases.read_bytes()).hexdigest()


def page(results: list[Result], cases: Path) -> str:
    skipped = len(json.loads(cases.read_text(encoding="utf-8"))["testcases"]) - len({result.id for result in results})
    lines = [
        "# Conformance of certificate verification",
        "",
        "<!-- Made by `make conformance`; do not edit. -->",
        "",
        "[x509-limbo](https://github.com/C2SP/x509-limbo) is a collection of certificate chains that a verifier",
        "should accept or refuse. `make conformance LIMBO=limbo.json` shows each of them to rootlet on the MicroPython",
        "Unix port: OpenSSL serves the chain, or, where it will not or the private key is not known, the first flight",
        "of a server written by hand; the trust anchors are given as `cadata`; the clock is set to the case's",
        "`validation_time`. Nothing is simulated on the board's side: the verdict is that of `rootlet.connect`.",
        "A trust anchor that `Context` refuses is left out; so is, under the policy `webpki`, one that",
        "`rootlet.webpki.check_root` finds fault with.",
        "",
        f"{skipped} cases do not apply: they verify clients, need certificate revocation lists or a limit on the",
        "chain's depth, or have no name to connect to. The others, under both policies:",
        "",
        "| policy | agree | wrongly accepted | wrongly rejected | of |",
        "|---|---|---|---|---|",
    ]
    for policy, row in count(results).items():
        lines.append(f"| `{policy}` | " + " | ".join(str(number) for number in row) + " |")
    lines += ["", "Every disagreement and why it is there:"]
    for title, text, policies, ids in REASONS:
        rows: dict[str, dict[str, str]] = {}
        for result in results:
            if not result.agrees and result.policy in policies and result.id in ids:
                rows.setdefault(result.id, {})[result.policy] = result.actual
        if not rows:
            continue
        lines += ["", f"## {title}", "", text, "", "| case | policy | rootlet |", "|---|---|---|"]
        for id_, verdicts in rows.items():
            verdict = "accepts" if "SUCCESS" in verdicts.values() else "refuses"
            lines.append(f"| `{id_}` | {', '.join(verdicts)} | {verdict} |")
    lines += ["", f"SHA-256 of the `limbo.json` behind this page: `{digest(cases)}`.", ""]
    return "\n".join(lines)
