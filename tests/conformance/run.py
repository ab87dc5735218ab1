"""Runs x509-limbo's cases against rootlet on the MicroPython Unix port.

    make conformance LIMBO=limbo.json

Cases in, results out; the exit status says only whether the harness did its work (0) or not (1), never how many cases
agree. A real server, OpenSSL in this process, presents each chain; where it will not, or where the case has no
private key, the first flight is sent by hand (flight.py). `validation_time` is set with libfaketime.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from rich.console import Console
from rich.table import Column, Table
from rootlet_host.errors import HostError
from rootlet_host.files import write_atomic
from rootlet_host.interpreter import find_micropython
from rootlet_host.paths import device_library

from . import flight, report

CLIENT = Path(__file__).with_name("client.py")
POLICIES = ("default", "webpki")
# Mbed TLS: the signature of the ServerKeyExchange is wrong, so the chain before it was accepted. ECDSA -0x4E00
# (ECP_VERIFY_FAILED), RSA -0x4380 (RSA_VERIFY_FAILED), or an RSA signature that is not even padded, -0x4100.
ACCEPTED_FLIGHT = {-0x4E00, -0x4380, -0x4100}
# A certificate's key is no point of its curve, or its curve is unknown; the servers' own keys here are good.
BAD_KEY = {-0x4C80, -0x4E80}


class HarnessError(Exception):
    """The harness could not do its work."""


@dataclass
class Result:
    """One case under one policy."""

    id: str
    policy: str
    expected: str  # SUCCESS or FAILURE
    actual: str
    reason: str  # why it was refused, in rootlet's words; empty if it was not
    presented: str  # by which server: openssl or flight

    @property
    def agrees(self) -> bool:
        return self.expected == self.actual


def applicable(case: dict[str, Any]) -> bool:
    """Whether the case is one for a TLS client that has no certificate revocation lists and no setting for depth."""
    return bool(
        case["validation_kind"] == "SERVER"
        and not case["crls"]
        and "max-chain-depth" not in case["features"]
        and case["expected_peer_name"]
    )


def as_sent(case: dict[str, Any]) -> list[bytes]:
    """The chain in the order of a TLS server: "each following certificate MUST directly certify the one preceding it"
    (RFC 5246, 7.4.2). A case's intermediates are a pool without an order; those off the path come last."""
    pool = [ssl.PEM_cert_to_DER_cert(pem.strip()) for pem in case["untrusted_intermediates"]]
    chain = [ssl.PEM_cert_to_DER_cert(case["peer_certificate"].strip())]
    if case.get("intermediates_in_order"):  # not x509-limbo's: see tests/support/forge.py
        return chain + pool
    while True:
        issuers = [der for der in pool if _may_have_issued(der, chain[-1])]
        issuers.sort(key=lambda der: not _issued(der, chain[-1]))
        if not issuers:
            return chain + pool
        chain.append(issuers[0])
        pool.remove(issuers[0])


def _may_have_issued(issuer: bytes, subject: bytes) -> bool:
    with contextlib.suppress(ValueError):
        return _parse(issuer).subject == _parse(subject).issuer
    return False


def _issued(issuer: bytes, subject: bytes) -> bool:
    try:
        _parse(subject).verify_directly_issued_by(_parse(issuer))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _parse(der: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # strange certificates are what this is about
        return x509.load_der_x509_certificate(der)


def load(path: Path) -> list[dict[str, Any]]:
    """The applicable cases of a limbo.json."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return [case for case in document["testcases"] if applicable(case)]


def _faketime_library() -> Path:
    for folder in (Path("/usr/lib"), Path("/usr/local/lib")):
        for found in sorted(folder.glob("**/faketime/libfaketime.so.1")):
            return found
    raise HarnessError("libfaketime is missing: apt install faketime")


@contextlib.contextmanager
def _client(validation_time: str | None) -> Iterator[subprocess.Popen[str]]:
    """MicroPython with client.py, at `validation_time`."""
    environment = {"MICROPYPATH": str(device_library()), "TZ": "UTC"}
    if validation_time is not None:
        when = datetime.fromisoformat(validation_time).astimezone(timezone.utc)
        environment |= {
            "LD_PRELOAD": str(_faketime_library()),
            "FAKETIME": when.strftime("%Y-%m-%d %H:%M:%S"),  # without an @: it stands still
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
    process = subprocess.Popen(
        [str(find_micropython()), "-X", "heapsize=4M", str(CLIENT)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _server_context(case: dict[str, Any], chain: list[bytes], folder: Path) -> ssl.SSLContext | None:
    """OpenSSL with the case's chain and key; None if it has no key or OpenSSL will not take it."""
    if not case["peer_certificate_key"]:
        return None
    identity = folder / "identity.pem"
    identity.write_text("\n".join([case["peer_certificate_key"], *map(ssl.DER_cert_to_PEM_cert, chain)]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.load_cert_chain(identity)
    except ssl.SSLError:
        return None
    return context


def _ask(
    client: subprocess.Popen[str], listener: socket.socket, request: dict[str, Any], context: ssl.SSLContext | None,
    chain: list[bytes],
) -> tuple[dict[str, Any], str]:  # fmt: skip
    """Lets the client connect once. Returns its answer, and the server's error."""
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(json.dumps(request) + "\n")
    listener.settimeout(0.05)
    fault = ""
    while True:
        ready, _, _ = select.select([listener, client.stdout], [], [], 15)
        if not ready:
            raise HarnessError(f"{request['id']}: the client neither connects nor answers")
        if listener in ready:
            connection, _ = listener.accept()
            connection.settimeout(10)
            try:
                if context is None:
                    flight.serve(connection, chain)
                else:
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(1)
            except OSError as error:
                fault = str(error)
            finally:
                connection.close()
        if client.stdout in ready:
            break
    line = client.stdout.readline()
    try:
        answer = json.loads(line)
    except json.JSONDecodeError as error:
        rest = line + (client.stdout.read() if client.poll() is not None else "")
        raise HarnessError(f"{request['id']}: the client said {rest!r}") from error
    return answer, fault


def _judge(answer: dict[str, Any], by_hand: bool) -> tuple[str, str] | None:
    """(SUCCESS or FAILURE, reason); None if the attempt says nothing about the chain."""
    if answer["connected"]:
        return "SUCCESS", ""
    number = answer["number"]
    if by_hand and number in ACCEPTED_FLIGHT:
        return "SUCCESS", ""
    if answer["certificate"]:
        return "FAILURE", answer["message"]
    if 0x2000 <= -number < 0x3000 or 0x3900 <= -number < 0x4000 or 0 < -number < 0x80:
        # X.509, public key and ASN.1 errors: Mbed TLS cannot read one of the certificates.
        return "FAILURE", f"Mbed TLS cannot read a certificate (-0x{-number:04x})"
    if number in BAD_KEY:
        return "FAILURE", answer["message"]
    if any(words in answer["message"] for words in ("Certificate message has", "more than", "invalid cert")):
        return "FAILURE", answer["message"]
    return None


def run(cases: list[dict[str, Any]], policies: tuple[str, ...] = POLICIES) -> list[Result]:
    """All cases under all policies, in their order."""
    results: dict[tuple[str, str], Result] = {}
    by_time: dict[str | None, list[dict[str, Any]]] = {}
    for case in cases:
        by_time.setdefault(case["validation_time"], []).append(case)
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory() as folder:
        port = listener.getsockname()[1]
        for validation_time, group in by_time.items():
            with _client(validation_time) as client:
                for case in group:
                    chain = as_sent(case)
                    context = _server_context(case, chain, Path(folder))
                    for policy in policies:
                        request = {
                            "id": case["id"],
                            "host": case["expected_peer_name"]["value"],
                            "port": port,
                            "policy": policy,
                            "anchors": case["trusted_certs"],
                            "ignore_clock_floor": bool(validation_time) and validation_time < "2022",
                        }
                        answer, fault = _ask(client, listener, request, context, chain)
                        verdict = _judge(answer, context is None)
                        if verdict is None and context is not None:
                            context = None  # no common cipher suite, for instance
                            answer, fault = _ask(client, listener, request, context, chain)
                            verdict = _judge(answer, True)
                        if verdict is None:
                            raise HarnessError(f"{case['id']}: inconclusive: {answer} {fault}")
                        results[case["id"], policy] = Result(
                            case["id"], policy, case["expected_result"], *verdict, "openssl" if context else "flight"
                        )
    return [results[case["id"], policy] for policy in policies for case in cases]


def as_json(results: list[Result], cases: Path) -> dict[str, Any]:
    """Results in the format of x509-limbo's own harnesses, one document for each policy; what does not apply is
    SKIPPED."""
    every = [case["id"] for case in json.loads(cases.read_text(encoding="utf-8"))["testcases"]]
    documents = {}
    for policy in POLICIES:
        found = {result.id: result for result in results if result.policy == policy}
        if found:
            documents[policy] = {
                "version": 1,
                "harness": f"rootlet, policy {policy}",
                "results": [
                    {"id": id_, "actual_result": found[id_].actual, "context": found[id_].reason or None}
                    if id_ in found
                    else {"id": id_, "actual_result": "SKIPPED", "context": None}
                    for id_ in every
                ],
            }
    return documents


def _print(results: list[Result]) -> None:
    console = Console()
    summary = Table("policy", "agree", "wrongly accepted", "wrongly rejected", "of", title="x509-limbo")
    for policy, row in report.count(results).items():
        summary.add_row(policy, *(str(number) for number in row))
    disagreements = Table("policy", Column("case", overflow="fold"), "wrongly", "why", title="disagreements")
    for result in results:
        if not result.agrees:
            verdict = "accepted" if result.actual == "SUCCESS" else "rejected"
            why = report.reason_for(result) or f"NOT EXPLAINED: {result.reason}"
            disagreements.add_row(result.policy, result.id, verdict, why)
    console.print(disagreements, summary)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs x509-limbo's cases against rootlet on the Unix port.")
    parser.add_argument("limbo", type=Path, help="limbo.json")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--doc", type=Path, help="write the page of documentation there")
    parser.add_argument("--policy", action="append", choices=POLICIES, help="only this policy")
    parser.add_argument("--only", default="", help="only cases whose id contains this")
    arguments = parser.parse_args()
    try:
        cases = [case for case in load(arguments.limbo) if arguments.only in case["id"]]
        results = run(cases, tuple(arguments.policy or POLICIES))
    except (OSError, ValueError, KeyError, HarnessError, HostError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 1
    _print(results)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(arguments.json, (json.dumps(as_json(results, arguments.limbo), indent=1) + "\n").encode())
    if arguments.doc:
        write_atomic(arguments.doc, report.page(results, arguments.limbo).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
