"""What is known of each error. The texts lie in `data`; exceptions and rules are read from the device's own sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ..paths import device_library

_DATA = Path(__file__).with_name("data")
_SHARED = re.compile(r"@([a-z]+)")

LOW_LEVEL = 0x7F  # the bits of a low-level code of Mbed TLS: mbedtls/error.h
# Low-level faults which are the cause of the high-level one that they come with.
_DECISIVE = ("ALLOC_FAILED", "ENTROPY_SOURCE_FAILED", "CORRUPTION_DETECTED")


@dataclass(frozen=True)
class Explanation:
    """One meaning of an error: `code` as it is written, `kind` says whose it is; exceptions have a `base`."""

    kind: str
    code: str
    name: str
    cause: str
    remedy: str
    source: str = ""
    base: str = ""


@cache
def read_table(name: str) -> tuple[tuple[str, ...], ...]:
    """The rows of `data/NAME.txt`: fields parted by `|`, comments (#) left out, `@word` replaced by its text."""
    shared: dict[str, str] = {}
    rows = []
    for line in (_DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("@"):
            word, _, text = line[1:].partition(" = ")
            shared[word] = _insert(text, shared)
        else:
            rows.append(tuple(_insert(field.strip(), shared) for field in line.split(" | ")))
    return tuple(rows)


def _insert(text: str, shared: dict[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        inserted = shared[match[1]]
        return _continued(inserted) if text[: match.start()].endswith((": ", "; else ")) else inserted

    return _SHARED.sub(replacement, text)


def _continued(sentence: str) -> str:
    """`sentence` as it goes on after a colon; an abbreviation keeps its capitals."""
    return sentence if sentence[1:2].isupper() else sentence[:1].lower() + sentence[1:]


# Mbed TLS


@cache
def mbedtls_errors() -> dict[int, Explanation]:
    """Every single code of Mbed TLS 3.6, by its positive value."""
    return {
        int(number, 16): Explanation("Mbed TLS", f"-{number}", f"MBEDTLS_ERR_{name}", cause, remedy)
        for number, name, cause, remedy in read_table("mbedtls")
    }


@cache
def _mbedtls_numbers() -> dict[str, int]:
    return {entry.name: number for number, entry in mbedtls_errors().items()}


def mbedtls_number(name: str) -> int | None:
    """The positive value of a name of Mbed TLS, with or without MBEDTLS_ERR_."""
    return _mbedtls_numbers().get("MBEDTLS_ERR_" + name.upper().removeprefix("MBEDTLS_ERR_"))


def mbedtls(number: int) -> Explanation | None:
    """The code -`number`, which may be the sum of a high-level and a low-level one."""
    known = mbedtls_errors()
    if number in known:
        return known[number]
    high, low = known.get(number & ~LOW_LEVEL), known.get(number & LOW_LEVEL)
    if high is None or low is None:
        return None
    return Explanation(
        "Mbed TLS",
        f"-0x{number:04X}",
        f"{high.name} + {low.name}",
        f"{high.cause}; in detail: {_continued(low.cause)}",
        low.remedy if low.name.endswith(_DECISIVE) else high.remedy,
    )


def mbedtls_as_errno(number: int) -> Explanation | None:
    """The low-level code that MicroPython shows as OSError(`number`), as if it were an errno.

    extmod/modtls_mbedtls.c does so with every error above -256.
    """
    entry = mbedtls_errors().get(number)
    unused = dict(_shared_texts("mbedtls"))["unused"]
    if entry is None or entry.remedy == unused:
        return None
    return Explanation(
        "Mbed TLS, shown as if it were an errno", entry.code, entry.name, f"From TLS: {entry.cause}", entry.remedy
    )


@cache
def _shared_texts(name: str) -> tuple[tuple[str, str], ...]:
    lines = (_DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line[1:].partition(" = ") for line in lines if line.startswith("@"))
    return tuple((word, text) for word, _, text in pairs)


# X.509 verification, TLS alerts


@cache
def verify_flags() -> dict[int, tuple[Explanation, str]]:
    """(explanation, text in Mbed TLS's message) of each verify flag."""
    return {
        int(flag, 16): (
            Explanation("X.509 verify flag", f"0x{int(flag, 16):02X}", f"MBEDTLS_X509_{name}", cause, remedy),
            text,
        )
        for flag, name, text, cause, remedy in read_table("verify")
    }


@cache
def alerts() -> dict[int, Explanation]:
    """TLS alerts by number. `name` is that of the RFCs."""
    return {
        int(number): Explanation("TLS alert", f"alert {number}", name, cause, remedy, "RFC 8446, 6; RFC 5246, 7.2")
        for number, name, _, cause, remedy in read_table("alerts")
    }


@cache
def alert_names() -> dict[str, int]:
    """Numbers of alerts by name: that of the RFCs, and that of Mbed TLS."""
    names = {}
    for number, name, mbedtls_name, *_ in read_table("alerts"):
        names[name] = names[f"MBEDTLS_SSL_ALERT_MSG_{mbedtls_name}"] = int(number)
    return names


# MicroPython


@cache
def errnos() -> tuple[Explanation, ...]:
    """Every errno on every port, ESP32 last. `code` is the number, `source` says on which ports."""
    found = []
    for number, esp32, name, cause, remedy in read_table("errno"):
        both = number == esp32
        if number != "-":
            ports = "on all ports" if both else "on Unix, stm32, rp2 and most ports"
            found.append(Explanation("MicroPython errno", number, name, cause, remedy, ports))
        if esp32 != "-" and not both:
            found.append(Explanation("MicroPython errno", esp32, name, cause, remedy, "on ESP32"))
    return tuple(sorted(found, key=lambda entry: entry.source == "on ESP32"))


def errno_by_name(name: str) -> Explanation | None:
    """The errno called `name`, with its numbers on all ports."""
    found = [entry for entry in errnos() if entry.name == name]
    if not found:
        return None
    code = ", ".join(f"{entry.code} on ESP32" if entry.source == "on ESP32" else entry.code for entry in found)
    return Explanation(found[0].kind, code, name, found[0].cause, found[0].remedy)


@cache
def micropython_texts() -> tuple[tuple[str, Explanation], ...]:
    """(text in the message, explanation) of errors that MicroPython puts into words."""
    return tuple(
        (text, Explanation("MicroPython", name, name, cause, remedy))
        for name, text, cause, remedy in read_table("micropython")
    )


# rootlet


@cache
def exceptions() -> dict[str, Explanation]:
    """rootlet's exceptions by class name. What the tables do not tell comes from the class, or from its base."""
    package = device_library() / "rootlet"
    rows = {row[1]: row for row in read_table("rootlet") if row[0] == "error"}
    sources = {row[1]: row[2] for row in read_table("rootlet") if row[0] == "source"}
    found: dict[str, Explanation] = {}
    for name in ("errors.py", "modem/at.py"):
        for node in ast.parse((package / name).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                cause = (ast.get_docstring(node) or "").partition("\n")[0]
                given = [
                    str(ast.literal_eval(statement.value))
                    for statement in node.body
                    if isinstance(statement, ast.Assign) and _targets(statement) == ["remedy"]
                ]
                classes = [(node.name, bases[0] if bases else "", cause, given[0] if given else "")]
            elif isinstance(node, ast.Assign) and _targets(node) == ["CLASSES"]:
                lines = [line.split("|") for line in ast.literal_eval(node.value).strip().splitlines()]
                classes = [(kind + "Error", (base or "TLS") + "Error", "", remedy) for kind, base, remedy in lines]
            else:
                continue
            for kind, base, cause, remedy in classes:
                entry = _exception(kind, found.get(base), cause, remedy, rows.get(kind, ()))
                found[kind] = replace(entry, source=sources.get(kind, ""))
    return found


def _exception(name: str, base: Explanation | None, cause: str, remedy: str, row: tuple[str, ...]) -> Explanation:
    cause = row[2] if row else cause or (base.cause if base else "")
    remedy = row[3] if len(row) > 3 else remedy or (base.remedy if base else "")
    return Explanation("rootlet exception", name, name, cause.rstrip("."), remedy, base=base.name if base else "")


def _targets(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]


def device_rules() -> Iterator[tuple[str, str, str]]:
    """(name, what is wrong, section of the standard) of the chain policy's rules, from lib/rootlet."""
    for module in ("rules.py", "webpki.py"):
        for node in ast.parse((device_library() / "rootlet" / module).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and _targets(node) == ["RULES"]:
                for line in ast.literal_eval(node.value).strip().splitlines():
                    name, text, section = line.split("|")
                    yield name, text, f"RFC 5280, {section}" if section[:1].isdigit() else section


@cache
def rules() -> dict[str, tuple[Explanation, str]]:
    """(explanation, text in messages) of each rule."""
    remedies = {row[1]: row[2] for row in read_table("rootlet") if row[0] == "rule"}
    found = {}
    for name, text, section in device_rules():
        remedy = remedies.get(name) or exceptions()["CertificateError"].remedy
        found[name] = (Explanation("rootlet rule", name, name, f"A certificate {text}", remedy, section), text)
    return found


# Modems


@cache
def modem_errors() -> dict[tuple[str, str], Explanation]:
    """+CME and +CMS errors by (CME or CMS, number) and by (CME or CMS, text in lower case)."""
    found = {}
    for command_set, number, text, cause, remedy in read_table("modem"):
        entry = Explanation("modem", f"+{command_set} ERROR: {number}", text, cause, remedy)
        found[command_set, number] = found[command_set, text.lower()] = entry
    return found


def unique(explanations: Iterable[Explanation]) -> list[Explanation]:
    """Each meaning once, in the order of their first mention."""
    return list({(entry.kind, entry.name, entry.code): entry for entry in explanations}.values())
