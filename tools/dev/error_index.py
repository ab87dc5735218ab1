"""Prints docs/errors.md: every error of rootlet, and what it makes of Mbed TLS's. All of it is read from the code.

python tools/dev/error_index.py           prints the page
python tools/dev/error_index.py --docs    writes docs/errors.md
python tools/dev/error_index.py --check   exit code 1 if docs/errors.md is not what would be written
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rootlet_host.explain import tables
from rootlet_host.paths import device_library

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "errors.md"

HEAD = """\
# Errors

<!-- Made by `python tools/dev/error_index.py --docs`; do not edit. -->

Every failure of a connection is a `rootlet.TLSError`, which is an `OSError`. Its text is cause and remedy; `message`,
`remedy`, `reasons` and `cause` (the low-level exception) hold them apart. `rootlet explain` says the same of each name
and number on this page, and of all others of Mbed TLS, MicroPython and modems:

```sh
rootlet explain HostnameError key-weak -0x7200
```

## Exceptions

Indented under what they are a kind of: `except rootlet.CertificateError` catches a `HostnameError`, too."""

RULES = """\
## Rules of the chain policy

A `PolicyError`, `HostnameError` or `PinError` has the rule as `error.rule` and the certificate's place as `error.depth`
(0: the server's own). [chain-policy.md](chain-policy.md) says which rules hold when."""

NUMBERS = """\
## Mbed TLS's numbers

What a handshake failed with inside Mbed TLS, and the exception that it becomes. The number stays in
`error.cause.errno`. A low-level code may be added to it (`rootlet explain` takes the sum apart). Codes of X.509 and of
public keys (-0x20xx … -0x2Fxx, -0x39xx … -0x3Fxx) become `CertificateError`: the certificate cannot be read. Want of
memory, whatever its number, becomes `HandshakeError`."""

TEXTS = """\
## Mbed TLS's verdicts on a chain

MicroPython raises them as the text of a `ValueError`. The first of these that it contains names the exception."""

ALERTS = """\
## Alerts of the server

An `AlertError` has the number as `error.alert` (RFC 8446, 6.2). Those with words of their own:"""


def page() -> str:
    """The whole page."""
    exceptions = tables.exceptions()
    parts = [
        HEAD,
        _table(("exception", "what happened", "remedy", "source"), list(_exceptions(exceptions))),
        RULES,
        _table(("rule", "a certificate …", "remedy", "source"), list(_rules())),
        NUMBERS,
        _table(("number", "name", "exception", "the server …"), list(_numbers())),
        TEXTS,
        _table(("contains", "exception", "a certificate …"), [(f"`{t}`", f"`{k}`", w) for t, k, w in _verdicts()]),
        ALERTS,
        _table(("number", "alert", "the server …"), [(n, f"`{name}`", text) for n, name, text in _alerts()]),
    ]
    return "\n\n".join(parts) + "\n"


def _exceptions(known: dict[str, tables.Explanation]) -> Iterator[tuple[str, ...]]:
    def below(base: str, depth: int) -> Iterator[tuple[str, ...]]:
        for entry in known.values():
            if entry.base == base:
                indent = "&nbsp;&nbsp;" * depth
                yield (f"{indent}`{entry.name}`", entry.cause, entry.remedy, entry.source)
                yield from below(entry.name, depth + 1)

    yield from below("", 0)


def _rules() -> Iterator[tuple[str, ...]]:
    for name, (entry, text) in tables.rules().items():
        yield (f"`{name}`", text, entry.remedy, entry.source)


def _lines(module: str, name: str) -> list[list[str]]:
    """The table `name` of a device module: one line an entry, fields between bars."""
    tree = ast.parse((device_library() / "rootlet" / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            value = node.value.args[0] if isinstance(node.value, ast.Call) else node.value
            return [line.split("|") for line in str(ast.literal_eval(value)).strip().splitlines()]
    raise SystemExit(f"lib/rootlet/{module}.py has no table {name}: change tools/dev/error_index.py with it")


def _mbedtls(digits: str) -> tables.Explanation:
    entry = tables.mbedtls(int(digits, 16))
    if entry is None:
        raise SystemExit(f"lib/rootlet/codes.py or diagnosis.py has 0x{digits}, which is no code of Mbed TLS")
    return entry


def _kind(text: str) -> str:
    return (text or "Handshake") + "Error"


def _numbers() -> Iterator[tuple[str, ...]]:
    for digits, kind, words in _lines("codes", "_FAILURES"):
        entry = _mbedtls(digits)
        yield (f"`{entry.code}`", f"`{entry.name}`", f"`{_kind(kind)}`", words)
    source = (device_library() / "rootlet" / "diagnosis.py").read_text(encoding="utf-8")
    for name, kind, words in (
        ("_UNKNOWN_CA", "UnknownIssuer", "has a chain of whose issuers no store has any"),
        ("_FATAL_ALERT", "Alert", "ended the handshake with an alert (below)"),
    ):
        found = re.search(rf"^{name} = const\(0x([0-9A-Fa-f]+)\)", source, re.MULTILINE)
        entry = _mbedtls(found[1] if found else f"the missing {name}")
        yield (f"`{entry.code}`", f"`{entry.name}`", f"`{_kind(kind)}`", words)


def _verdicts() -> Iterator[tuple[str, str, str]]:
    for text, kind, words in _lines("refusals", "_REASONS"):
        yield text, _kind(kind), words


def _alerts() -> Iterator[tuple[str, str, str]]:
    for number, name, words in _lines("alerts", "_ALERTS"):
        if not words:  # 42 … 46: the condition in alerts.py
            words = "refuses this board's client certificate"
            if not 42 <= int(number) <= 46:
                cause = tables.alerts()[int(number)].cause
                words = f"says: {cause[0].lower()}{cause[1:]}"
        yield number, name, words


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--docs", action="store_true", help="write docs/errors.md")
    parser.add_argument("--check", action="store_true", help="compare docs/errors.md with the code")
    arguments = parser.parse_args()
    text = page()
    if arguments.docs:
        PAGE.write_text(text, encoding="utf-8")
    elif arguments.check:
        if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
            print("docs/errors.md is not what the code says: python tools/dev/error_index.py --docs", file=sys.stderr)
            return 1
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
