"""The worked example of docs/store-format.md is what the host writes, and what the board reads out of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from rootlet_host.store.format import decode_store
from support.board import run_device

from .markdown import REPOSITORY

TOOL = REPOSITORY / "tools" / "dev" / "store_example.py"
ON_THE_BOARD = """
import json, sys
from binascii import hexlify, unhexlify
from rootlet.store import TrustStore
store = TrustStore(sys.argv[1])
found = []
for name in sys.argv[2:]:
    (anchor,) = store.lookup(unhexlify(name), "www.example.org")
    der = anchor.certificate(unhexlify(name), 0)
    point = der[der.find(b"\\x03\\x42\\x00\\x04") + 4 :][:64]
    found.append([anchor.distrust_after, anchor.suffixes, str(hexlify(point), "ascii")])
elsewhere = [len(store.lookup(unhexlify(name), "www.example.net")) for name in sys.argv[2:]]
print(json.dumps([store.sequence, store.count, store.issued_at, store.not_used_after, list(store.layout()), found,
                  elsewhere, store.is_blocked(bytes(range(16)))]))
"""


def test_the_page_shows_the_bytes_that_the_host_writes() -> None:
    done = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_the_bytes_that_the_page_shows_are_a_store_that_the_board_reads_as_explained(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "store-format.md").read_text(encoding="utf-8")
    dump = page.split("bytes of the example -->")[1].split("```")[1]
    lines = [line.split(maxsplit=1) for line in dump.splitlines()[1:] if line]
    data = b"".join(bytes.fromhex(text) for _, text in lines)
    assert [int(at, 16) for at, _ in lines] == list(range(0, len(data), 16))
    store = tmp_path / "example.rtlt"
    store.write_bytes(data)
    decode_store(data)
    program = tmp_path / "read.py"
    program.write_text(ON_THE_BOARD)
    names = [
        "301d311b301906035504030c12" + b"Example Private CA".hex(),
        "301d311b301906035504030c12" + b"Example Leaving CA".hex(),
    ]
    sequence, count, issued_at, not_used_after, layout, found, elsewhere, blocked = json.loads(
        run_device(program, str(store), *names)
    )
    rows = (re.match(r"\| ([0-9a-f]{4}) \| `[0-9a-f …]+` \| (.*) \|$", line) for line in page.splitlines())
    offsets = {row[2]: int(row[1], 16) for row in rows if row}
    assert (sequence, count, blocked) == (7, 2, True)
    assert (issued_at, not_used_after) == (1767225600, 1893456000)
    first_record = next(at for text, at in offsets.items() if text.startswith("record of"))
    assert layout == [first_record, offsets[next(t for t in offsets if t.startswith("blocked key"))], len(data)]
    (private, leaving) = found
    # The key of private key 1 is the base point of P-256 (SEC 2, 2.4.2).
    assert private[:2] == [0, ["example.org"]] and private[2].startswith("6b17d1f2e12c4247")
    assert leaving[:2] == [1893456000, None] and leaving[2].startswith("7cf27b188d03")
    assert elsewhere == [0, 1], "the suffix keeps the first from signing elsewhere"


def test_every_byte_is_explained_once() -> None:
    page = (REPOSITORY / "docs" / "store-format.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|")[0].strip() for line in page.splitlines() if line.startswith("| 0")]
    offsets = [int(text, 16) for text in rows if len(text) == 4]
    assert offsets == sorted(set(offsets)) and offsets[0] == 0
