"""The questions that `rootlet doctor` asks, in their order, and what is made of the answers."""

from __future__ import annotations

import ast
import datetime
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ..board.identity import LEAST_VERSION, LEAST_VERSION_TEXT
from ..board.link import understood
from ..board.store_on_board import DEFAULT_PATH
from ..board.transport import Board, BoardError, BoardInfo
from ..output import plain
from .memory import ONE_PIECE_BYTES, TOLERANCE, Sample, outside_python_heap, predict, rise, samples

OK, WARN, FAIL = "ok", "warn", "fail"
_CONFIGURATION = "rootlet.json"
_NAME = "loopback.test"
_TIMEOUT_S = 120.0  # the board checks every byte of a store, or waits for a network
_BYTES_PER_BLOCK = {True: 32, False: 16}  # of the garbage collector, on 64 and 32 bits: py/mpconfig.h


@dataclass(frozen=True)
class Line:
    """One finding. `state` is ok, warn or fail; `remedy` what to do unless it is ok."""

    name: str
    state: str
    text: str
    remedy: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {"name": self.name, "state": self.state, "text": self.text, "remedy": self.remedy, "data": self.data}


@dataclass
class Diagnosis:
    """What was found on a board."""

    info: BoardInfo
    lines: list[Line] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    host: str | None = None

    @property
    def failed(self) -> int:
        """How many lines are failures."""
        return sum(line.state == FAIL for line in self.lines)


@dataclass(frozen=True)
class Target:
    """The server to try. `address`: where to dial, if that is not the host."""

    host: str
    port: int = 443
    address: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def examine(board: Board, target: Target | None = None, show: Callable[[Line], None] | None = None) -> Diagnosis:
    """Ask `board` everything. `show` gets each line as it is found.

    The program on the board is stopped; nothing is written to its flash. Raises `LinkError` when it stops answering.
    """
    board.soft_reset()
    diagnosis = Diagnosis(board.identify(again=True), host=str(target) if target else None)
    lines = _lines(board, diagnosis, target)
    while True:
        with understood(board.port):
            line = next(lines, None)
        if line is None:
            return diagnosis
        diagnosis.lines.append(line)
        if show is not None:
            show(line)


def _lines(board: Board, diagnosis: Diagnosis, target: Target | None) -> Iterator[Line]:
    info = diagnosis.info
    yield from _firmware(info)
    if not info.has_tls:
        return
    if info.rootlet_version is None:
        yield Line("rootlet", FAIL, "rootlet is not on the board", f"rootlet deploy --port {info.port}")
        return
    if board.evaluate(_HAS_SELFTEST) is not True:
        text = f"rootlet {info.rootlet_version} on the board has no self-test"
        yield Line("rootlet", FAIL, text, f"rootlet deploy --port {info.port}")
        return
    yield Line("rootlet", OK, f"version {info.rootlet_version}")
    yield _features(_ask(board, "features", "features"))
    path = info.path(_CONFIGURATION)
    configuration = _ask(board, "configuration", "configuration", path)
    yield configuration
    stores = [str(store) for store in configuration.data.get("stores", [info.path(DEFAULT_PATH)])]
    yield _ask(board, "clock", "clock", stores)
    yield _ask(board, "entropy", "entropy")
    for store in stores:
        board.soft_reset()
        yield _ask(board, "store", "store", store)
    board.soft_reset()
    yield _heap(board, info)
    board.soft_reset()
    yield _ask(board, "preflight", "memory")
    board.soft_reset()
    leaf, key, authority = _loopback_identity()
    yield _ask(board, "loopback handshake", "loopback", leaf, key, authority, _NAME)
    yield _ask(board, "stock modules", "stock", [info.path("boot.py"), info.path("main.py")])
    if target is not None:
        yield from _connection(board, diagnosis, target, path, configuration)


_HAS_SELFTEST = (
    "(lambda: __import__('rootlet.selftest') and True)() if any(e[0][:9] == 'selftest.' for e in "
    "__import__('os').ilistdir(__import__('rootlet').__file__.rsplit('/', 1)[0])) else False"
)


def _firmware(info: BoardInfo) -> Iterator[Line]:
    text = f"MicroPython {info.version_text} on {info.machine or info.platform}"
    if info.version < LEAST_VERSION:
        yield Line("firmware", FAIL, text, f"rootlet takes {LEAST_VERSION_TEXT} or later: rootlet flash")
    else:
        yield Line("firmware", OK, text, data={"version": list(info.version), "machine": info.machine})
    if info.has_tls:
        yield Line("TLS", OK, f"Mbed TLS {info.mbedtls_version or '(version not told)'}")
    else:
        yield Line("TLS", FAIL, "this firmware has no module tls", "rootlet boards lists those that have it")


def _features(line: Line) -> Line:
    if line.state != OK:
        return line
    names = {"verify_callback": "verify callback", "dtls": "DTLS", "psk": "pre-shared keys", "tls13": "TLS 1.3"}
    text = ", ".join(f"{name} {'yes' if line.data.get(key) else 'no'}" for key, name in names.items())
    return Line(line.name, OK, text, data=line.data)


def _heap(board: Board, info: BoardInfo) -> Line:
    line, printed = _ask_and_hear(board, "heap", "heap")
    if not line.data:
        return line
    total, free = int(line.data["total_bytes"]), int(line.data["free_bytes"])
    data = dict(line.data)
    text = f"{_kb(free)} of {_kb(total)} free"
    if found := re.search(r"max free sz: (\d+)", printed):
        wide = bool(board.evaluate("__import__('sys').maxsize > 1 << 32"))
        data["largest_bytes"] = int(found[1]) * _BYTES_PER_BLOCK[wide]
        text += f", largest block {_kb(data['largest_bytes'])}"
    prediction = predict(info)
    data["least_heap_bytes"] = prediction.least_heap_bytes
    idf = [tuple(entry) for entry in data["idf"]]
    if idf:
        text += f"; ESP-IDF heaps {_kb(sum(entry[1] for entry in idf))} free"
        text += f", largest block {_kb(max(entry[2] for entry in idf))}"
        if max(entry[2] for entry in idf) < ONE_PIECE_BYTES:
            remedy = f"Mbed TLS needs {_kb(ONE_PIECE_BYTES)} in one piece: turn off what else uses the system's heap"
            return Line("heap", FAIL, text, remedy, data)
    if total < prediction.least_heap_bytes:
        text += f"; a connection needs a heap of {_kb(prediction.least_heap_bytes)}"
        remedy = "freeze rootlet into the firmware (firmware/manifest.py): that saves about 30 kB"
        return Line("heap", WARN, text, remedy, data)
    if not outside_python_heap(info) and data.get("largest_bytes", ONE_PIECE_BYTES) < ONE_PIECE_BYTES:
        remedy = f"Mbed TLS needs {_kb(ONE_PIECE_BYTES)} in one piece: connect early, before the heap is in pieces"
        return Line("heap", WARN, text, remedy, data)
    return Line("heap", OK, text, data=data)


def _connection(board: Board, diagnosis: Diagnosis, target: Target, path: str, configuration: Line) -> Iterator[Line]:
    name = f"handshake with {target}"
    if configuration.state != OK:
        yield Line(name, FAIL, "not tried, since the configuration is not right", "see above")
        return
    board.soft_reset()
    network = _ask(board, "network", "network", path)
    yield network
    if network.state == FAIL:
        return
    where = (path, target.host, target.port, target.address)
    first = _ask(board, name, "connect", *where, True)
    diagnosis.samples = samples(first.data.pop("samples", []))
    if first.state != OK:
        yield first
        return
    # The first one's modules and samples would leave less memory than an application has.
    board.soft_reset()
    network = _ask(board, "network", "network", path)
    if network.state == FAIL:
        yield network
        return
    second = _ask(board, name, "connect", *where, False)
    if second.state != FAIL:
        data = second.data
        # A modem resolves the name itself.
        name_ms = "" if data["resolve_ms"] is None else f"name {data['resolve_ms']} ms, "
        text = f"{second.text}; {name_ms}dialling {data['dial_ms']} ms, TLS {data['handshake_ms']} ms"
        second = Line(name, second.state, text, second.remedy, data)
    yield second
    yield _memory(diagnosis)


def _memory(diagnosis: Diagnosis) -> Line:
    prediction = predict(diagnosis.info)
    measured = rise(diagnosis.samples)
    data = {"measured_bytes": measured, "predicted_bytes": prediction.rise_bytes, "basis": prediction.basis}
    text = f"the first handshake took {_kb(measured)} of the Python heap, {_kb(prediction.rise_bytes)} were predicted"
    if measured > TOLERANCE * prediction.rise_bytes:
        remedy = "the library may be there as source (rootlet deploy sends .mpy files), or the server's chain is long"
        return Line("memory", WARN, text, remedy, data)
    return Line("memory", OK, text, data=data)


def _kb(size: int) -> str:
    return f"{size / 1000:.1f} kB"


def _ask(board: Board, name: str, question: str, *arguments: Any) -> Line:
    return _ask_and_hear(board, name, question, *arguments)[0]


def _ask_and_hear(board: Board, name: str, question: str, *arguments: Any) -> tuple[Line, str]:
    """The answer of selftest.py on the board as a line, and everything that was printed with it."""
    listed = ", ".join(repr(argument) for argument in (question, *arguments))
    code = f"from rootlet.selftest import ask\nask({listed})\nimport gc\ngc.collect()"
    try:
        printed = board.run(code, timeout_s=_TIMEOUT_S)
    except BoardError as error:
        if error.kind == "MemoryError":
            remedy = "freeze rootlet into the firmware (firmware/manifest.py), or use a board with more memory"
            return Line(name, FAIL, "the board has not enough memory for this", remedy), ""
        last = error.traceback.strip().splitlines()[-1]
        return Line(name, FAIL, plain(last), "deploy rootlet again: rootlet deploy"), error.output
    with understood(board.port):
        state, text, remedy, data = ast.literal_eval(printed.strip().splitlines()[-1])
        if state not in (OK, WARN, FAIL):
            raise ValueError("no state of a check")
        return Line(name, str(state), plain(str(text)), plain(str(remedy)), dict(data or {})), printed


def _loopback_identity() -> tuple[bytes, bytes, bytes]:
    """A server certificate for `_NAME`, its key and its CA, all DER, all new.

    The dates are wide, so that a board whose clock is not set can be examined, too.
    """
    first = datetime.datetime(2000, 1, 1, tzinfo=datetime.timezone.utc)
    last = datetime.datetime(2049, 12, 31, tzinfo=datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("rootlet doctor CA", _NAME)]
    certificates = []
    for number in range(2):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(first)
            .not_valid_after(last)
            .add_extension(x509.BasicConstraints(ca=not number, path_length=None), critical=True)
        )
        if number:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        certificates.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    key = keys[1].private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return certificates[1], key, certificates[0]
