"""A chain judged with next to no memory: it is never accepted for want of it, and never refused for a rule it keeps."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from support import pki
from support.attempt import HOST
from support.firmware import in_force
from support.servers import tls_server

# As a board's: everything imported, and then only so many bytes left.
PROGRAM = """
import gc, json, sys
import rootlet
request = json.loads(sys.argv[1])
pins = ["sha256//" + "A" * 43 + "="] if request["pins"] else None
context = rootlet.Context(cafile=request["cafile"], pins=pins, allow_single=True)
try:
    # Imports what it takes.
    rootlet.connect(request["host"], request["port"], context=context, address="127.0.0.1").close()
except OSError:
    pass
outcomes = []
for spare in range(request["from"], request["to"], request["step"]):
    gc.collect()
    # In one piece: how broken up a heap is depends on the application.
    hole = bytearray(spare)
    ballast = None
    for size in (1024, 128, 32, 1):
        try:
            while True:
                ballast = ballast, bytearray(size)
        except MemoryError:
            pass
    kind = rule = hole = None
    try:
        c = rootlet.connect(request["host"], request["port"], context=context, address="127.0.0.1")
        ballast = None
        kind = "connected"
        c.close()
    except MemoryError:
        ballast = None
        kind = "MemoryError"
    except OSError as error:
        ballast = None
        gc.collect()
        kind = type(error).__name__
        rule = getattr(error, "rule", None)
        if "memory" in str(error):
            kind = "memory"
    c = error = None
    outcomes.append((spare, kind, rule))
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize(
    ("names", "limits", "pins", "right"),
    [
        ((HOST,), "example.org", False, ("connected", None)),
        (("other.example.org",), "example.org", False, ("HostnameError", "name-mismatch")),
        ((HOST,), "example.com", False, ("PolicyError", "constraints")),
        ((HOST,), "example.org", True, ("PinError", "pin-mismatch")),
    ],
    ids=["good", "wrong name", "constraints", "pins"],
)
def test_outcome_is_the_right_one_or_want_of_memory(
    names: tuple[str, ...],
    limits: str,
    pins: bool,
    right: tuple[str, str | None],
    root: pki.Authority,
    cafile: Path,
    tmp_path: Path,
) -> None:
    constraints = x509.NameConstraints([x509.DNSName(limits)], None)
    middle = pki.make_ca("middle", issuer=root, extensions=[(constraints, False)])
    program = tmp_path / "short_of_memory.py"
    program.write_text(PROGRAM)
    with tls_server(middle.issue(*names)) as server:
        request = {"host": HOST, "port": server.port, "cafile": str(cafile), "pins": pins}
        request |= {"from": 400, "to": 26000, "step": 400}
        command = [str(in_force().interpreter), "-X", "heapsize=400k", str(program), json.dumps(request)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=90,
            env={"MICROPYPATH": f"{in_force().library}:.frozen"},
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = [(kind, rule) for _, kind, rule in json.loads(done.stdout.splitlines()[-1])]
    assert set(outcomes) <= {right, ("memory", None), ("MemoryError", None)}, done.stdout
    assert outcomes.count(right) > 3 and outcomes.count(right) < len(outcomes) - 3, done.stdout


# As at the start of a program: everything has yet to be loaded.
FROM_THE_START = """
import gc, os, sys
kind = None
try:
    import rootlet
    try:
        context = rootlet.Context(cafile=sys.argv[1])
        rootlet.connect(sys.argv[2], int(sys.argv[3]), context=context, address="127.0.0.1").close()
        kind = "connected"
    except rootlet.TLSError as error:
        kind = "memory" if "memory" in str(error) else type(error).__name__
except MemoryError:
    kind = "memory"
error = context = rootlet = None
sys.modules.clear()
gc.collect()
print(kind, len(os.listdir("/proc/self/fd")))
"""


@pytest.mark.parametrize(("authority", "right"), [("session root", "connected"), ("a stranger", "UnknownIssuerError")])
def test_whatever_the_size_of_the_heap_no_chain_passes_for_want_of_memory_and_no_socket_stays_open(
    authority: str, right: str, root: pki.Authority, cafile: Path, tmp_path: Path
) -> None:
    issuer = root if authority == "session root" else pki.make_ca(authority)
    program = tmp_path / "from_the_start.py"
    program.write_text(FROM_THE_START)
    outcomes = []
    with tls_server(issuer.child("issuer").issue(HOST)) as server:
        for heap_bytes in range(40_000, 480_000, 8_000):
            arguments = [str(program), str(cafile), HOST, str(server.port)]
            done = subprocess.run(
                [str(in_force().interpreter), "-X", f"heapsize={heap_bytes}", *arguments],
                capture_output=True,
                text=True,
                timeout=30,
                env={"MICROPYPATH": f"{in_force().library}:.frozen"},
                check=False,
            )
            if "MemoryError" in done.stderr and not done.stdout:
                continue  # not even the program found room
            assert done.returncode == 0 and not done.stderr, (heap_bytes, done)
            outcomes.append(done.stdout.strip())
    assert set(outcomes) == {f"{right} 4", "memory 4"}, outcomes
