"""`rootlet provision` on the virtual board: what arrives works there, nothing else is left, nothing secret is told."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from rootlet_host import certs, provision
from rootlet_host.board.transport import Board
from rootlet_host.interpreter import find_micropython
from rootlet_host.keys import load_key
from store_help import NOW, admit_only, key_usage, make_certificate
from support.board import LIBRARY
from support.servers import tls_server

KEY, CERTIFICATE, PSK = "/certs/device.key.der", "/certs/device.der", "/certs/psk"


@pytest.fixture
def ca(rootlet):
    """ca.pem and ca.key in the current directory."""
    assert rootlet("certs", "ca", "ca", "--no-passphrase").code == 0


@pytest.fixture
def device(rootlet, ca):
    """sensor.* in the current directory."""
    assert rootlet("certs", "device", "sensor", "--ca", "ca.pem").code == 0


@pytest.fixture
def put(rootlet, virtual_board):
    def run(*options):
        return rootlet("provision", "--port", virtual_board.port, *options)

    return run


def content(board, *paths):
    """What the board has at these paths; None where it has nothing."""
    with Board(board.port) as connection:
        return [connection.get(path) if connection.hash(path) else None for path in paths]


def listing(board):
    with Board(board.port) as connection:
        there = [name for name, *_ in connection.listdir("/")]
        return sorted(name for name, *_ in connection.listdir("/certs")) if "certs" in there else []


def secrets_of(key):
    number = key.private_numbers().private_value
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return (f"{number:x}", str(number), der.hex(), repr(der)[10:60])


# ---------------------------------------------------------------------------------------- key and certificate


def test_key_and_certificate_arrive_as_der_and_match(put, virtual_board, device, tmp_path):
    result = put("--cert", "sensor.pem")
    assert result.code == 0, result.err
    assert content(virtual_board, KEY, CERTIFICATE) == [
        (tmp_path / "sensor.key.der").read_bytes(),
        (tmp_path / "sensor.der").read_bytes(),
    ]
    assert listing(virtual_board) == ["device.der", "device.key.der"]
    assert "CN=sensor" in result.out and "the firmware can use it" in result.out
    for secret in secrets_of(load_key(tmp_path / "sensor.key")):
        assert secret not in result.out + result.err + virtual_board.console


def test_a_server_that_demands_a_certificate_lets_the_board_in_with_what_is_on_its_flash(
    put, rootlet, virtual_board, tmp_path
):
    rootlet("certs", "rig")
    assert put("--cert", "rig/device.pem").code == 0
    for name, data in zip(("key", "cert"), content(virtual_board, KEY, CERTIFICATE), strict=True):
        (tmp_path / f"board.{name}").write_bytes(data)
    context, handler, seen = admit_only(*(tmp_path / "rig" / name for name in ("ca.pem", "server.pem", "server.key")))
    program = (
        "import rootlet\n"
        "c = rootlet.Context(cafile='rig/ca.pem', client_cert='board.cert', client_key='board.key')\n"
        "with rootlet.connect('localhost', PORT, context=c, address='127.0.0.1') as s: print(s.read())\n"
    )
    with tls_server(None, handler, context=context) as running:
        command = [find_micropython(), "-c", program.replace("PORT", str(running.port))]
        environment = {**os.environ, "MICROPYPATH": f"{LIBRARY}:.frozen"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)
    assert "welcome" in done.stdout, done.stdout + done.stderr
    assert seen == [{"commonName": "device"}]


def test_the_key_is_made_on_this_computer_and_kept_in_files_of_the_owner(put, virtual_board, ca, tmp_path):
    result = put("--ca", "ca.pem", "--name", "sensor-8", "-d", "devices", "--days", 90, "--json")
    assert result.code == 0, result.err
    answer = json.loads(result.out)
    assert answer["subject"] == "CN=sensor-8"
    assert [(entry["path"], entry["unchanged"]) for entry in answer["files"]] == [(KEY, False), (CERTIFICATE, False)]
    assert sorted(answer["made"]) == sorted(f"devices/sensor-8.{end}" for end in ("key", "key.der", "pem", "der"))
    key = tmp_path / "devices" / "sensor-8.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    identity = certs.load_identity(tmp_path / "devices" / "sensor-8.pem")
    assert content(virtual_board, KEY, CERTIFICATE) == [identity.key_der, identity.der]
    assert identity.certificate.not_valid_after_utc < NOW + timedelta(days=91)
    for secret in secrets_of(identity.key):
        assert secret not in result.out + result.err + virtual_board.console


def test_rsa_keys_can_be_put_on_too(put, virtual_board, ca):
    assert put("--ca", "ca.pem", "--name", "rsa", "--key-type", "rsa2048").code == 0
    assert listing(virtual_board) == ["device.der", "device.key.der"]


def test_an_intermediate_ca_goes_with_the_certificate_and_the_root_does_not(put, virtual_board, tmp_path):
    usage = ((key_usage(key_cert_sign=True), True),)
    root = make_certificate("root", extensions=usage)
    middle = make_certificate("middle", issuer=root, extensions=usage)
    leaf = make_certificate("leaf", issuer=middle, ca=False)
    (tmp_path / "leaf.pem").write_bytes(leaf.pem + middle.pem + root.pem)
    (tmp_path / "leaf.key").write_bytes(leaf.key_pem)
    assert put("--cert", "leaf.pem").code == 0
    assert content(virtual_board, CERTIFICATE) == [leaf.der + middle.der]
    (tmp_path / "leaf.pem").write_bytes(leaf.pem + root.pem)
    result = put("--cert", "leaf.pem", "--force")
    assert result.code == 2 and "no chain" in result.err


def test_the_same_again_changes_nothing_and_another_needs_force(put, rootlet, virtual_board, device):
    assert put("--cert", "sensor.pem").code == 0
    again = put("--cert", "sensor.pem", "--json")
    assert again.code == 0 and all(entry["unchanged"] for entry in json.loads(again.out)["files"])
    rootlet("certs", "device", "other", "--ca", "ca.pem")
    before = content(virtual_board, KEY, CERTIFICATE)
    result = put("--cert", "other.pem")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "another /certs/device.key.der" in result.err and "--force" in result.err
    assert content(virtual_board, KEY, CERTIFICATE) == before
    assert put("--cert", "other.pem", "--force").code == 0
    assert not set(content(virtual_board, KEY, CERTIFICATE)) & set(before)


def test_a_board_that_has_a_key_gets_no_new_one_made_for_it(put, device, tmp_path):
    put("--cert", "sensor.pem")
    assert put("--ca", "ca.pem", "--name", "second").code == 1
    assert not list(tmp_path.glob("second*"))


def test_after_a_cut_between_key_and_certificate_no_certificate_stands_beside_another_key(
    put, rootlet, virtual_board, device, tmp_path, monkeypatch
):
    put("--cert", "sensor.pem")
    rootlet("certs", "device", "other", "--ca", "ca.pem")
    original = Board.put

    def cut(self, data, path, progress=None):
        if path == CERTIFICATE:
            raise provision.HostError("the cable was pulled")
        return original(self, data, path, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Board, "put", cut)
        assert put("--cert", "other.pem", "--force").code == 1
    assert content(virtual_board, KEY, CERTIFICATE) == [(tmp_path / "other.key.der").read_bytes(), None]
    assert put("--cert", "other.pem").code == 0  # the key is there already
    assert content(virtual_board, CERTIFICATE) == [(tmp_path / "other.der").read_bytes()]


def test_after_a_cut_what_was_made_on_this_computer_is_named_with_how_to_go_on(
    put, virtual_board, ca, tmp_path, monkeypatch
):
    original = Board.put

    def cut(self, data, path, progress=None):
        if path == CERTIFICATE:
            virtual_board.unplug()
        return original(self, data, path, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Board, "put", cut)
        result = put("--ca", "ca.pem", "--name", "sensor", "-d", "devices")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "devices/sensor.pem and its key were made" in result.err
    assert "check the cable, then go on with: rootlet provision --cert devices/sensor.pem" in result.err
    virtual_board.plug()
    assert put("--cert", "devices/sensor.pem").code == 0
    made = [(tmp_path / "devices" / name).read_bytes() for name in ("sensor.key.der", "sensor.der")]
    assert content(virtual_board, KEY, CERTIFICATE) == made


def test_a_cut_between_key_and_certificate_is_said_and_the_same_command_repairs_it(
    put, virtual_board, device, monkeypatch
):
    original = Board.put

    def cut(self, data, path, progress=None):
        if path == CERTIFICATE:
            virtual_board.unplug()
        return original(self, data, path, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Board, "put", cut)
        result = put("--cert", "sensor.pem")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "the board may be without its certificate now" in result.err
    assert "then give the same command again" in result.err
    virtual_board.plug()
    assert put("--cert", "sensor.pem").code == 0
    assert listing(virtual_board) == ["device.der", "device.key.der"]


def test_a_certificate_whose_key_is_gone_does_not_stand_beside_another_key_after_a_cut(
    put, rootlet, virtual_board, device, monkeypatch
):
    put("--cert", "sensor.pem")
    rootlet("certs", "device", "other", "--ca", "ca.pem")
    with Board(virtual_board.port) as board:
        board.remove(KEY)
    original = Board.put

    def cut(self, data, path, progress=None):
        if path == CERTIFICATE:
            raise provision.HostError("the cable was pulled")
        return original(self, data, path, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Board, "put", cut)
        assert put("--cert", "other.pem", "--force").code == 1
    assert content(virtual_board, CERTIFICATE) == [None]


@pytest.mark.parametrize("filesystem", ["littlefs", "fat"])
def test_a_full_flash_keeps_the_key_and_certificate_that_it_has(
    rootlet, make_virtual_board, device, tmp_path, filesystem
):
    rootlet("certs", "device", "other", "--ca", "ca.pem")
    board = make_virtual_board(filesystem=filesystem, size="64K")
    assert rootlet("provision", "--port", board.port, "--cert", "sensor.pem").code == 0
    with Board(board.port) as connection:
        connection.run(
            "n = 0\ntry:\n while True:\n  n += 1\n  with open('filler%d' % n, 'wb') as f:\n   f.write(bytes(512))\n"
            "except OSError: pass"
        )
    result = rootlet("provision", "--port", board.port, "--cert", "other.pem", "--force")
    assert (result.code, "remove something from it" in result.err) == (1, True)
    there = [(tmp_path / name).read_bytes() for name in ("sensor.key.der", "sensor.der")]
    assert content(board, KEY, CERTIFICATE) == there


def test_what_the_firmware_cannot_use_is_not_written(put, virtual_board, device, tmp_path, monkeypatch):
    whole = (tmp_path / "sensor.key.der").read_bytes()
    monkeypatch.setattr(provision.Client, "key", property(lambda self: whole[:-1]))
    result = put("--cert", "sensor.pem")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "refuses the key and certificate (ValueError: invalid key)" in result.err
    assert listing(virtual_board) == []
    for secret in secrets_of(load_key(tmp_path / "sensor.key")):
        assert secret not in result.err + virtual_board.console


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of --cert, --ca and --psk"),
        (["--cert", "a.pem", "--psk", "b"], "one of --cert, --ca and --psk"),
        (["--ca", "ca.pem"], "--ca and --name belong together"),
        (["--name", "x", "--cert", "sensor.pem"], "--ca and --name belong together"),
        (["--cert", "sensor.pem", "--identity", "x"], "--identity is for --psk"),
        (["--cert", "sensor.key"], "is the key"),
        (["--cert", "missing.pem"], "cannot read"),
        (["--cert", "ca.pem"], "is a CA"),
        (["--cert", "server.pem"], "is not for clients"),
        (["--cert", "sensor.pem", "--key", "ca.key"], "does not belong"),
        (["--cert", "old.pem"], "is valid only from"),
        (["--ca", "server.pem", "--name", "x"], "is no CA"),
        (["--psk", "missing.psk"], "to make a key give --identity"),
    ],
)
def test_what_is_wrong_on_this_computer_is_said_before_a_board_is_asked(rootlet, device, tmp_path, options, message):
    rootlet("certs", "server", "example.org", "--ca", "ca.pem", "--name", "server")
    old = make_certificate("old", ca=False, not_after=NOW - timedelta(days=1))
    (tmp_path / "old.pem").write_bytes(old.pem)
    (tmp_path / "old.key").write_bytes(old.key_pem)
    result = rootlet("provision", "--port", "/dev/no-such-port", *options)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert message in result.err


def test_without_a_board_nothing_is_made(rootlet, ca, tmp_path):
    before = sorted(tmp_path.iterdir())
    for options in (["--ca", "ca.pem", "--name", "x"], ["--psk", "x.psk", "--identity", "x"]):
        result = rootlet("provision", "--port", "/dev/no-such-port", *options)
        assert result.code == 2 and result.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_existing_files_of_this_computer_are_not_replaced(put, device, tmp_path):
    before = (tmp_path / "sensor.key").read_bytes()
    result = put("--ca", "ca.pem", "--name", "sensor", "--force")
    assert result.code == 2 and "sensor.key exists" in result.err
    assert "--cert sensor.pem" in result.err and "--force" not in result.err
    assert (tmp_path / "sensor.key").read_bytes() == before


# --------------------------------------------------------------------------------------------- pre-shared keys


def test_a_pre_shared_key_is_made_kept_and_put_on_the_board(put, virtual_board, tmp_path):
    result = put("--psk", "site.psk", "--identity", "sensor-7")
    assert result.code == 0, result.err
    path = tmp_path / "site.psk"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (psk,) = provision.read_psks(path)
    assert psk.identity == "sensor-7" and len(psk.key) == 32
    assert content(virtual_board, PSK) == [psk.line] == [path.read_bytes()]
    assert psk.key.hex() not in result.out + result.err + virtual_board.console
    assert repr(psk.key)[2:20] not in virtual_board.console


def test_one_file_has_the_keys_of_many_boards_and_a_board_only_its_own(put, virtual_board, tmp_path):
    (tmp_path / "site.psk").write_text("# keys of the site\nfirst:" + "ab" * 16)
    assert put("--psk", "site.psk", "--identity", "second").code == 0
    first, second = provision.read_psks(tmp_path / "site.psk")
    assert (first.identity, second.identity) == ("first", "second")
    assert content(virtual_board, PSK) == [second.line]
    assert put("--psk", "site.psk", "--identity", "first").code == 1  # the board has another
    assert put("--psk", "site.psk", "--identity", "first", "--force").code == 0
    assert content(virtual_board, PSK) == [first.line]
    result = put("--psk", "site.psk")
    assert result.code == 2 and "holds 2 keys" in result.err
    assert provision.read_psks(tmp_path / "site.psk") == [first, second]


@pytest.mark.parametrize("line", ["no colon", "n:", "n:xyz", "n:" + "ab" * 15, ":" + "ab" * 16, "n:" + "ab" * 65])
def test_a_bad_line_is_named_by_its_number_and_never_quoted(rootlet, tmp_path, line):
    (tmp_path / "site.psk").write_text(f"# site\n{line}\n")
    result = rootlet("provision", "--port", "/dev/no-such-port", "--psk", "site.psk")
    assert result.code == 2 and ("line 2" in result.err or "cannot name" in result.err)
    assert "abab" not in result.err and "xyz" not in result.err


@pytest.mark.parametrize("identity", ["", "a:b", "#a", " a", "a\n", "x" * 129, "\udcff"])
def test_identities_that_no_file_can_hold_are_refused(rootlet, tmp_path, identity):
    result = rootlet("provision", "--port", "/dev/no-such-port", "--psk", "site.psk", "--identity", identity)
    assert result.code == 2 and not (tmp_path / "site.psk").exists()
