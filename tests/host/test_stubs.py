"""The type stubs: they say what the code says; through them mypy finds faults of the code, and of applications."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from docs.markdown import blocks_of, pages

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tools" / "dev"))

import check_types  # noqa: E402
import stubs  # noqa: E402
from annotate import annotate  # noqa: E402

Differ = Callable[[str, str], list[str]]


def test_stubs_and_code_name_the_same_things_with_the_same_parameters() -> None:
    assert stubs.differences() == []


def test_every_exception_that_the_comparison_makes_is_still_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    exceptions = stubs.EXCEPTIONS
    monkeypatch.setattr(stubs, "EXCEPTIONS", {})
    found = "\n".join(stubs.differences())
    assert [name for name in exceptions if f"{name} " not in found and f"{name}:" not in found] == []
    assert "web.aio.AsyncResponse is in the stub only" in found


@pytest.fixture
def differ(tmp_path: Path) -> Differ:
    """What the comparison says of a library of one module, `m`."""

    def run(code: str, stub: str) -> list[str]:
        for folder, suffix, text in (("code", ".py", code), ("stubs", ".pyi", stub)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"__init__{suffix}").write_text("from . import m as m\n" if suffix == ".pyi" else "")
            (tmp_path / folder / f"m{suffix}").write_text(text)
        return stubs.differences(tmp_path / "code", tmp_path / "stubs", frozenset())

    return run


@pytest.mark.parametrize(
    ("code", "stub"),
    [
        ("def f(a, b=1, *c, d=None, **e): pass", "def f(a: int, b: int = 1, *c: int, d: None = None, **e: int): ..."),
        ("async def f(): pass", "async def f() -> None: ..."),
        ("X = 3\n_y = 4", "X: int"),
        (
            "class C:\n    a = 1\n    def __init__(self):\n        self.b = self.c = 2",
            "class C:\n    a: int\n    b: int\n    c: int\n    def __init__(self): ...",
        ),
        (
            "class B:\n    def f(self): pass\nclass C(B):\n    def f(self): pass",
            "class B:\n    def f(self): ...\nclass C(B): ...",
        ),
        ("def f(a=LIMIT): pass", "def f(a: int = ...): ..."),
        ("def f(a=5_000): pass", "def f(a: int = 5000): ..."),
        ("_HOME = {'x': 'y'}\ndef __getattr__(name):\n    return _HOME[name]", "x: int"),
        ("def __getattr__(name):\n    if name == 'late':\n        return 1", "late: int"),
        ("class C:\n    @property\n    def p(self): pass", "class C:\n    @property\n    def p(self) -> int: ..."),
    ],
)
def test_what_agrees_is_passed(code: str, stub: str, differ: Differ) -> None:
    assert differ(code, stub) == []


@pytest.mark.parametrize(
    ("code", "stub", "words"),
    [
        ("def f(): pass", "", "m.f is missing in the stub"),
        ("", "def f(): ...", "m.f is in the stub only"),
        ("X = 1", "", "m.X is missing in the stub"),
        ("", "X: int", "m.X is in the stub only"),
        ("def f(a): pass", "def f(b): ...", "m.f takes (a), the stub says (b)"),
        ("def f(a, b): pass", "def f(b, a): ...", "takes (a, b)"),
        ("def f(a): pass", "def f(a, b=1): ...", "takes (a)"),
        ("def f(*a): pass", "def f(a): ...", "takes (*a)"),
        ("def f(a, *, b): pass", "def f(a, b): ...", "m.f takes"),
        ("def f(a=1): pass", "def f(a): ...", "a has a default on one side only"),
        ("def f(a=1): pass", "def f(a=2): ...", "the default of a is 1, the stub says 2"),
        ("async def f(): pass", "def f(): ...", "asynchronous"),
        ("def f(): pass", "f: int", "another kind of thing"),
        ("class C: pass", "def C(): ...", "another kind of thing"),
        ("class C:\n    def f(self): pass", "class C: ...", "m.C.f is missing in the stub"),
        ("class C: pass", "class C:\n    def f(self): ...", "m.C.f is in the stub only"),
        ("class C:\n    def f(self):\n        self.x = 1", "class C:\n    def f(self): ...", "m.C.x is missing"),
        ("class C: pass", "class C:\n    x: int", "m.C.x is in the stub only"),
        ("class C:\n    def f(self, a): pass", "class C:\n    def f(self): ...", "m.C.f takes (self, a)"),
        ("class C:\n    def f(self): pass", "class C:\n    f: int", "no method"),
        ("class C:\n    f = 1", "class C:\n    def f(self): ...", "a method in the stub only"),
        ("class C:\n    @property\n    def p(self): pass", "class C:\n    def p(self): ...", "a property on one side"),
    ],
)
def test_a_disagreement_is_named(code: str, stub: str, words: str, differ: Differ) -> None:
    (line,) = differ(code, stub)
    assert words in line


def test_a_module_without_stub_and_a_stub_without_module_are_named(tmp_path: Path) -> None:
    for folder, suffix, name in (("code", ".py", "a"), ("stubs", ".pyi", "b")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"__init__{suffix}").write_text("")
        (tmp_path / folder / f"{name}{suffix}").write_text("")
    found = stubs.differences(tmp_path / "code", tmp_path / "stubs", frozenset({"gone"}))
    assert "a: has no stub" in found
    assert "b: there is a stub, but no module" in found
    assert "__init__: a is missing in the stub" in found
    assert "gone: is called internal, but does not exist" in found


def test_annotations_are_put_where_they_belong_and_no_line_moves() -> None:
    source = (
        '"""Doc."""\n'
        "X = make(1)\n"
        "def f(a, b=(1, 2), *c,\n"
        "      d=None, **e):  # why\n"
        "    return a\n"
        "class C:\n"
        "    n = m = None\n"
        "    def __init__(self, é='ü'):\n"
        "        self.x = self._y = None\n"
        "    async def g(self): return (self.x)\n"
    )
    stub = (
        "from t import T\n"
        "X: T\n"
        "def f(a: int, b: tuple[int, int] = ..., *c: str, d: T | None = None, **e: float) -> int: ...\n"
        "class C:\n"
        "    n: int\n"
        "    m: int\n"
        "    x: T\n"
        "    def __init__(self, é: str = 'ü') -> None: ...\n"
        "    async def g(self) -> T: ...\n"
    )
    made = annotate(source, stub)
    lines = made.splitlines()
    assert lines[1] == "X: 'T'; X = make(1)"
    assert lines[2] == "def f(a: 'int', b: 'tuple[int, int]'=(1, 2), *c: 'str',"
    assert lines[3] == "      d: 'T | None'=None, **e: 'float') -> 'int':  # why"
    assert lines[6] == "    n: 'int'; m: 'int'; n = m = None"
    assert lines[7] == "    def __init__(self, é: 'str'='ü') -> 'None':"
    assert lines[8] == "        self.x: 'T'; self._y: '_Any'; self.x = self._y = None"
    assert lines[9] == "    async def g(self) -> 'T': return (self.x)"
    assert lines[10:] == ["from t import T", "from typing import Any as _Any"]
    compile(made, "made", "exec")


@pytest.fixture(scope="module")
def installed() -> Path:
    return check_types.install()


def test_mypy_finds_a_wrong_type_inside_the_library(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "rootlet"
    shutil.copytree(stubs.LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__"))
    source = (library / "pacing.py").read_text()
    wrong = source.replace("self.period_s = period_s", "self.period_s = str(period_s)")
    assert wrong != source
    (library / "pacing.py").write_text(wrong)
    monkeypatch.setattr(stubs, "LIBRARY", library)
    monkeypatch.setattr(check_types, "COPY", check_types.BUILD / "typecheck-test")
    check_types.COPY.mkdir(exist_ok=True)
    line = 1 + wrong[: wrong.index("str(period_s)")].count("\n")
    monkeypatch.setattr(check_types.copy_annotated, "__defaults__", (check_types.COPY,))
    faults = [fault for fault in check_types.check_code() if "pacing.py" in fault]
    assert len(faults) == 1
    assert faults[0].startswith(f"lib/rootlet/pacing.py:{line}: error: Incompatible types in assignment")


def test_a_known_fault_is_passed_and_one_that_is_no_more_is_reported() -> None:
    lines = ["lib/rootlet/a.py:3: error: Known thing  [x]", "lib/rootlet/b.py:4: error: Other  [y]"]
    known = (("a.py", "Known", "why"), ("c.py", "Gone", "why"))
    assert check_types.without_known(lines, known) == [
        "lib/rootlet/b.py:4: error: Other  [y]",
        "check_types.py: not to be found any more: c.py 'Gone'",
    ]


APPLICATION = """
import asyncio

import rootlet
import rootlet.compat
from rootlet import http, requests, tofu
from rootlet.modem import SIM800
from rootlet.slots import Slots
from rootlet.trace import Trace
from rootlet.updater import Updater

context = rootlet.Context(store="/certs/roots.rtlt", cafile="/certs/site.pem", policy="webpki", trace=Trace(2))
rootlet.Context(store="/certs/roots.rtlt", polcy="webpki")  # wrong: call-arg
rootlet.Context(store=42)  # wrong: arg-type
rootlet.Context(verify=False)  # wrong: call-arg
rootlet.Context(psk=("board", "text"))  # wrong: arg-type

with rootlet.connect("example.org", 443, context, timeout_ms=5000) as c:
    c.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
    body: bytes = c.read()
    suite = c.cipher()
    if suite is not None:
        print(suite[0].lower(), suite[1])
    c.write("text")  # wrong: arg-type
    c.recv(100)  # wrong: attr-defined
rootlet.connect("example.org", "443", context)  # wrong: arg-type
rootlet.connect("example.org", 443)  # wrong: call-arg
rootlet.connect("example.org", 443, context, timeout=5)  # wrong: call-arg

try:
    response = http.get("https://example.org/", context, headers={"Accept": "text/html"})
    print(response.status + 1, response.headers["server"].lower(), response.read(10))
    http.get("https://example.org/", context, headers={"Accept": 1})  # wrong: dict-item
except rootlet.PolicyError as error:
    print(error.rule, error.depth, error.remedy.upper(), error.reasons[0])
except rootlet.TLSError as error:
    print(error.message, error.cause, error.rule)  # wrong: attr-defined
rootlet.NoSuchError  # wrong: attr-defined

with http.Client(context, keep=2) as client:
    with client.post("https://example.org/", json={"a": 1}, auth=("user", "password"), timeout_ms=1000) as answer:
        size: int = answer.save("/data")
    client.get("https://example.org/", timeout=10)  # wrong: call-arg
    client.download("https://example.org/f", "/f", sha256="ab")

answer2 = requests.get("https://example.org/", timeout=5, headers={"X": "y"})
print(answer2.json(), answer2.text.strip(), answer2.status_code)
requests.get("https://example.org/", verify=False)  # wrong: call-arg

async def main() -> None:
    reader, writer = await rootlet.open_connection("example.org", 443, context)
    writer.write(b"x")
    await writer.drain()
    line: bytes = await reader.readline()
    reader.read(3) + b""  # wrong: operator
    async with http.AsyncClient(context) as client:
        async with await client.get("https://example.org/") as got:
            text: bytes = await got.read()
        client.get("https://example.org/").status  # wrong: attr-defined

asyncio.run(main())
updater = Updater(Slots(), "https://example.org/roots.rtlt", context, period_s=3600)
if updater.due() and updater.run() and updater.store is not None:
    print(updater.store.sequence + 1)
Updater("/certs", "https://example.org/roots.rtlt")  # wrong: arg-type
tofu.context("/server.der", "board.local", 443, fingerprint="AB:CD", policy="webpki")
tofu.context("/server.der", "board.local", 443, cafile="/x")  # wrong: call-arg
rootlet.compat.install(context)
"""

ON_BOARD = """
from machine import UART, Pin
import network
from rootlet.modem import SIM800
import rootlet

modem = SIM800(UART(1, 115200), apn="internet", power_key=Pin(4, Pin.OUT))
modem.up(timeout_ms=60_000)
with rootlet.connect("example.org", 443, rootlet.Context(store="/certs/roots.rtlt"), transport=modem) as c:
    print(c.read())
modem.signal() + 1  # wrong: operator
modem.connect("example.org")  # wrong: call-arg
"""


def complaints(program: str, tmp_path: Path, configuration: str) -> set[tuple[int, str]]:
    """(line, code) of what mypy says of a program."""
    path = tmp_path / "application.py"
    path.write_text(program)
    check_types.COPY.mkdir(parents=True, exist_ok=True)
    lines = check_types.mypy(path, configuration=configuration)
    found = set()
    for line in lines:
        match = re.match(r".*application\.py:(\d+): error: .*\[([a-z-]+)\]$", line)
        if ": error:" in line and not line.startswith("build/typings"):
            assert match, line
            found.add((int(match[1]), match[2]))
    return found


def expected(program: str) -> set[tuple[int, str]]:
    marked = (re.search(r"# wrong: ([a-z-]+)$", line) for line in program.splitlines())
    return {(number, found[1]) for number, found in enumerate(marked, 1) if found}


def test_an_application_is_checked_and_every_wrong_call_is_found(tmp_path: Path) -> None:
    """As after `pip install rootlet`, with CPython's own stubs."""
    cache = check_types.BUILD / ".mypy_cache" / "app"
    configuration = f"[mypy]\nstrict = true\nmypy_path = {stubs.STUBS.parent}\ncache_dir = {cache}\n"
    assert complaints(APPLICATION, tmp_path, configuration) == expected(APPLICATION)


@pytest.mark.parametrize("program", [APPLICATION, ON_BOARD], ids=["connections", "modem"])
def test_the_same_with_micropythons_stubs(program: str, installed: Path, tmp_path: Path) -> None:
    configuration = (
        f"[mypy]\nstrict = true\ncustom_typeshed_dir = {installed}\n"
        f"mypy_path = {check_types.CORRECTIONS}:{stubs.STUBS.parent}:{installed}\n"
        f"cache_dir = {check_types.BUILD / '.mypy_cache' / 'board'}\n"
    )
    assert complaints(program, tmp_path, configuration) == expected(program)


def test_every_example_of_the_documentation_is_right_by_the_stubs(installed: Path, tmp_path: Path) -> None:
    """Each for itself: what an earlier one has defined is not known, and may be anything."""
    examples = [
        block for page in pages() for block in blocks_of(page) if (block.language, block.directive) == ("python", "")
    ]
    # Blocks that await outside of functions are no modules.
    examples = [block for block in examples if "await " not in block.code or "async def " in block.code]
    assert len(examples) > 20
    for block in examples:
        (tmp_path / (re.sub(r"\W", "_", block.place) + ".py")).write_text(block.code + "\n")
    configuration = (
        f"[mypy]\ncustom_typeshed_dir = {installed}\ncheck_untyped_defs = true\nexplicit_package_bases = true\n"
        "disable_error_code = name-defined,import-not-found,has-type,used-before-def\n"
        f"mypy_path = {check_types.CORRECTIONS}:{stubs.STUBS.parent}:{installed}\n"
        f"cache_dir = {check_types.BUILD / '.mypy_cache' / 'docs'}\n"
    )
    lines = check_types.mypy(*sorted(tmp_path.glob("*.py")), configuration=configuration)
    assert [line for line in lines if ": error:" in line and not line.startswith("build/typings")] == []
