"""A firmware that lacks something: rootlet says what, when it is imported or when the thing is first needed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST
from support.firmware import in_force
from support.servers import tls_server

# A firmware that hides modules, attributes of modules, and attributes of TLS contexts, or has another version.
LESS = """
import builtins, sys, tls
_import = builtins.__import__
_hidden = set({modules!r})
class Less:
    def __init__(self, real, hidden):
        self.real = real
        self.hidden = hidden
    def __getattr__(self, name):
        if name in self.hidden:
            raise AttributeError(name)
        return getattr(self.real, name)
class LessContext:
    def __init__(self, protocol):
        object.__setattr__(self, '_real', tls_context(protocol))
    def __getattr__(self, name):
        if name in {context!r}:
            raise AttributeError(name)
        return getattr(self._real, name)
    def __setattr__(self, name, value):
        if name in {context!r}:
            raise AttributeError(name)
        setattr(self._real, name, value)
tls_context = tls.SSLContext
_less = {{name: Less(_import(name), hidden) for name, hidden in {attributes!r}.items()}}
if {context!r}:
    fake = Less(tls, ())
    fake.SSLContext = LessContext
    _less['tls'] = fake
def less(name, globals=None, locals=None, names=(), level=0):
    if level:  # MicroPython's own import would start from here, not from the module that asks
        name = 'rootlet.' + name if name else 'rootlet'
    if name in _hidden:
        raise ImportError("no module named '%s'" % name)
    return _less[name] if name in _less else _import(name, None, None, names)
builtins.__import__ = less
"""

SAY = """
try:
{program}
except Exception as error:
    print(type(error).__name__, str(error))
"""

CONNECT = f"""
import rootlet
rootlet.connect({HOST!r}, {{port}}, rootlet.Context(cafile={{cafile!r}}), address='127.0.0.1').close()
print('connected')
"""


def run(
    program: str,
    *,
    modules: tuple[str, ...] = (),
    attributes: dict[str, tuple[str, ...]] | None = None,
    context: tuple[str, ...] = (),
    before: str = "",
) -> str:
    """What `program` prints on a firmware that lacks these things: its output, or its exception's name and words."""
    indented = "\n".join("    " + line for line in program.strip().splitlines())
    code = LESS.format(modules=modules, attributes=attributes or {}, context=context) + before
    done = subprocess.run(
        [str(in_force().interpreter), "-c", code + SAY.format(program=indented)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "MICROPYPATH": f"{in_force().library}:.frozen"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ({"modules": ("tls",)}, "module tls"),
        ({"modules": ("hashlib",)}, "module hashlib"),
        ({"attributes": {"tls": ("CERT_REQUIRED",)}}, "verifies certificates"),
        ({"attributes": {"hashlib": ("sha256",)}}, "hashlib.sha256"),
    ],
)
def test_importing_rootlet_says_what_the_firmware_lacks(lack: dict[str, object], words: str) -> None:
    said = run("import rootlet", **lack)  # type: ignore[arg-type]
    assert said.startswith("ImportError this firmware lacks ")
    assert words in said
    assert "takes MicroPython 1.24 or later with Mbed TLS" in said


def test_an_old_version_is_named() -> None:
    older = (
        "class Old:\n    implementation = type('I', (), {'version': (1, 22, 2)})\n    modules = sys.modules\n"
        "_less['sys'] = Old\n"
    )
    assert "MicroPython 1.24 (this is 1.22)" in run("import rootlet", before=older)


def test_everything_that_is_missing_is_said_at_once() -> None:
    said = run("import rootlet", modules=("tls",), attributes={"hashlib": ("sha256",)})
    assert "module tls, hashlib.sha256" in said


def test_a_whole_firmware_lacks_nothing() -> None:
    assert run("from rootlet import firmware\nprint(firmware.lacks())").strip() == "[]"


@pytest.mark.parametrize("name", ["verify_callback", "load_verify_locations"])
def test_a_tls_without_what_verification_takes_is_refused_before_anything_is_sent(name: str, tmp_path: Path) -> None:
    root = pki.make_ca("root")
    cafile = tmp_path / "ca.pem"
    cafile.write_bytes(root.pem)
    with tls_server(root.issue(HOST)) as server:
        program = CONNECT.format(port=server.port, cafile=str(cafile))
        assert run(program).strip() == "connected"
        said = run(program, context=(name,))
    assert "connected" not in said
    if name == "verify_callback":
        assert said.startswith("UnsupportedError this firmware lacks tls.SSLContext.verify_callback")


def test_a_tls_that_takes_no_der_refuses_the_connection(tmp_path: Path) -> None:
    root = pki.make_ca("root")
    cafile = tmp_path / "ca.pem"
    cafile.write_bytes(root.pem)
    pem_only = (
        "def _load(self, data):\n    raise ValueError('invalid cert')\nLessContext.load_verify_locations = _load\n"
    )
    with tls_server(root.issue(HOST)) as server:
        said = run(CONNECT.format(port=server.port, cafile=str(cafile)), context=("x",), before=pem_only)
    assert said.startswith("UnsupportedError this firmware cannot load the trust anchor")
    assert "DER" in said and "memory is short" in said, "Mbed TLS says the same for want of memory"


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ({"modules": ("asyncio",)}, "module asyncio"),
        ({"modules": ("deflate",)}, "module deflate"),
        ({"attributes": {"tls": ("PROTOCOL_DTLS_CLIENT",)}}, "DTLS"),
        ({"context": ("psk_key",)}, "pre-shared keys"),
        ({"attributes": {"os": ("urandom",)}}, "os.urandom"),
    ],
)
def test_what_only_some_uses_need_is_told_on_request_and_hinders_no_import(lack: dict[str, object], words: str) -> None:
    said = run("import rootlet\nprint(rootlet.firmware.lacks(), rootlet.firmware.optional())", **lack)  # type: ignore[arg-type]
    assert said.startswith("[] ")
    assert words in said


def test_a_way_to_connect_whose_module_is_missing_names_that_module() -> None:
    assert run("import rootlet\nrootlet.open_connection", modules=("asyncio",)) == (
        "ImportError no module named 'asyncio'\n"
    )


def test_a_name_that_rootlet_never_had_is_an_attribute_error() -> None:
    assert run("import rootlet\nrootlet.connection_open").startswith("AttributeError")
