"""The gate that every new store passes on the board: who may put which one in force, from where, in place of which."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import pki
from support.board import run_device

from .conftest import Publisher

COMMIT = Path(__file__).with_name("device") / "commit.py"


@dataclass(frozen=True)
class Case:
    """A store that is offered to a board with sequence 5 in force, and what becomes of it."""

    outcome: str | None  # the exception, None if it is put in force
    signed: str | None  # by the publisher, or by a stranger
    known: bool = True  # the board knows the publisher
    usb: bool = True
    unsigned: str = "first-push"
    sequence: int = 6
    rollback: bool = False
    series: str = ""
    before: str = ""  # series in force


CASES = [
    # Signed by the publisher: from anywhere, whatever the policy.
    *(Case(None, "publisher", usb=usb, unsigned=policy) for usb in (True, False) for policy in ("never", "usb")),
    # Unsigned: over USB only, as the policy says.
    Case(None, None, known=False),
    Case("SignatureError", None),
    Case(None, None, unsigned="usb"),
    Case(None, None, unsigned="usb", known=False),
    Case("SignatureError", None, unsigned="never", known=False),
    *(Case("SignatureError", None, usb=False, unsigned=policy, known=False) for policy in ("first-push", "usb")),
    # Signed by somebody else: as if unsigned on a fresh board, and refused where the publisher is known.
    Case(None, "stranger", known=False),
    Case("SignatureError", "stranger"),
    Case("SignatureError", "stranger", unsigned="usb"),
    Case("SignatureError", "stranger", unsigned="never", known=False),
    Case("SignatureError", "stranger", usb=False, known=False),
    # Not above the one in force: over USB only, when it is asked for.
    *(Case("RollbackError", "publisher", usb=usb, sequence=n) for usb in (True, False) for n in (4, 5)),
    *(Case("RollbackError", "publisher", usb=False, rollback=True, sequence=n) for n in (4, 5)),
    *(Case(None, "publisher", rollback=True, sequence=n) for n in (4, 5)),
    Case("SignatureError", "stranger", rollback=True, sequence=4),
    # Of another series: the same.
    Case(None, "publisher", series="site"),
    Case(None, "publisher", series="site", before="site"),
    *(Case("SeriesError", "publisher", usb=usb, series=s, before="site") for usb in (True, False) for s in ("", "b")),
    Case("SeriesError", "publisher", usb=False, rollback=True, before="site"),
    Case(None, "publisher", rollback=True, before="site"),
]


@pytest.mark.every_version
def test_a_store_is_put_in_force_only_by_whom_and_from_where_it_may_come(
    publisher: Publisher, root: pki.Authority, tmp_path: Path
) -> None:
    stranger = Publisher("stranger")
    (tmp_path / "publisher.der").write_bytes(publisher.der)

    def write(name: str, data: bytes) -> str:
        (tmp_path / name).write_bytes(data)
        return str(tmp_path / name)

    def request(number: int, case: Case) -> dict[str, Any]:
        new = publisher.store(case.sequence, root, series=case.series)
        if case.signed:
            new = (publisher if case.signed == "publisher" else stranger).sign(new)
        return {
            "name": str(number),
            "in_force": write(f"{number}.before", publisher.store(5, root, series=case.before)),
            "publisher": str(tmp_path / "publisher.der") if case.known else None,
            "unsigned": case.unsigned,
            "new": write(f"{number}.new", new),
            "usb": case.usb,
            "rollback": case.rollback,
        }

    (tmp_path / "flash").mkdir()
    cases = [request(number, case) for number, case in enumerate(CASES)]
    (tmp_path / "request.json").write_text(json.dumps({"folder": str(tmp_path / "flash"), "cases": cases}))
    found = json.loads(run_device(COMMIT, str(tmp_path / "request.json")).splitlines()[-1])
    wanted = [[case.outcome, 5 if case.outcome else case.sequence] for case in CASES]
    wrong = [(case, is_) for case, is_, shall in zip(CASES, found, wanted, strict=True) if is_ != shall]
    assert not wrong
