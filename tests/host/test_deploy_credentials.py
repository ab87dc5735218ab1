"""What a board shows of itself, deployed: client certificates and pre-shared keys. Nobody sees a secret."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_line
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from rootlet_host import board_config
from rootlet_host.board.virtual import VirtualBoard
from rootlet_host.errors import UsageError
from rootlet_host.store.anchors import anchor_from_certificate
from rootlet_host.store.builder import build_store
from support import pki
from support.programs import openssl_server
from support.servers import answer, http_response, server_context, tls_server

HOST = "board.example.org"
KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
Make = Callable[..., VirtualBoard]


@pytest.fixture(scope="module")
def root() -> pki.Authority:
    return pki.make_ca("site root")


@pytest.fixture(scope="module")
def clients() -> pki.Authority:
    return pki.make_ca("clients' root")


@pytest.fixture
def here(tmp_path: Path, root: pki.Authority) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    anchors = [anchor_from_certificate(root.certificate)]
    folder.joinpath("site.rtlt").write_bytes(build_store(anchors, sequence=1, issued_at=1_700_000_000))
    return folder


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    folder = tmp_path / "flash"
    folder.mkdir()
    return folder


@pytest.fixture
def fresh(make_virtual_board: Make, flash: Path) -> VirtualBoard:
    return make_virtual_board(directory=flash)


def rootlet(here: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command_line.run("deploy", *words, cwd=here, **environment)


def configure(here: Path, port: int, top: str = "", job: str = "") -> None:
    text = f'{top}\n[job]\nurl = "https://{HOST}:{port}/"\naddress = "127.0.0.1"\n{job}\n'
    here.joinpath("rootlet.toml").write_text(text)


def test_a_deployed_client_certificate_opens_a_server_that_demands_one(
    fresh: VirtualBoard, here: Path, flash: Path, root: pki.Authority, clients: pki.Authority, tmp_path: Path
) -> None:
    board = clients.issue(common_name="board", usage=None)
    here.joinpath("board.pem").write_bytes(board.chain_pem)
    here.joinpath("board.key").write_bytes(board.key_pem)
    tmp_path.joinpath("clients.pem").write_bytes(clients.pem)
    context = server_context(root.issue(HOST))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "clients.pem")
    top = 'client_cert = "/certs/board.pem"\nclient_key = "/certs/board.key"'
    with tls_server(root.issue(HOST), answer(http_response()), context=context) as server:
        configure(here, server.port, top)
        words = ("--port", fresh.port, "--store", "site.rtlt")
        missing = rootlet(here, *words)
        assert missing.returncode == 2
        assert "client_cert names /certs/board.pem, which is not on the board" in missing.stderr
        assert "--client-cert" in missing.stderr
        done = rootlet(here, *words, "--client-cert", "board.pem", "--client-key", "board.key")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ok (200 OK)" in done.stdout
        assert (flash / "certs/board.key").read_bytes() == board.key_pem
        secret = board.key_pem.decode().splitlines()[1]
        assert secret not in done.stdout + done.stderr + fresh.console
        # They stay there.
        again = rootlet(here, *words)
    assert again.returncode == 0, again.stderr
    assert "every file is there already" in again.stdout


@pytest.mark.servers
def test_a_deployed_pre_shared_key_is_enough_and_is_never_shown(
    fresh: VirtualBoard, here: Path, flash: Path, tmp_path: Path
) -> None:
    options = ("-psk", KEY, "-psk_identity", "board-17", "-nocert", "-www", "-tls1_2")
    with openssl_server(tmp_path, *options) as (port, _):
        # openssl answers with its own command line, key and all.
        configure(here, port, 'psk_identity = "board-17"', "print_bytes = 0")
        words = ("--port", fresh.port)
        unknown = rootlet(here, *words)
        assert unknown.returncode == 2
        assert "the pre-shared key is not known" in unknown.stderr and board_config.PSK_VARIABLE in unknown.stderr
        done = rootlet(here, *words, **{board_config.PSK_VARIABLE: KEY})
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Loading pre-shared key ........... ok (identity board-17)" in done.stdout
        assert "it has the pre-shared key" in done.stdout
        assert "from ROOTLET_PSK_KEY" in done.stdout
        assert "Checking the clock" not in done.stdout, "a pre-shared key needs none"
        # The board keeps it, so that nobody need type it again.
        again = rootlet(here, *words, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["sent_bytes"] == 0
    assert json.loads((flash / "rootlet.json").read_text())["psk_key"] == KEY
    shown = unknown.stdout + unknown.stderr + done.stdout + done.stderr + again.stdout + again.stderr + fresh.console
    assert KEY not in shown


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (KEY[:30], "psk_key must be 32 to 64 bytes long"),
        (KEY[:33], "psk_key has an odd number of digits"),
        ("hunter2 hunter2 hunter2 hunter2!", "psk_key is not hexadecimal"),
    ],
)
def test_a_pre_shared_key_that_cannot_be_used_is_refused_without_being_shown(
    fresh: VirtualBoard, here: Path, flash: Path, key: str, words: str
) -> None:
    configure(here, 443, 'psk_identity = "board-17"')
    done = rootlet(here, "--port", fresh.port, **{board_config.PSK_VARIABLE: key})
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert key not in done.stdout + done.stderr
    assert not any(flash.iterdir())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"psk_key": KEY}, "psk_identity and psk_key need each other"),
        ({"psk_key": KEY, "psk_identity": "a", "stores": ["/certs/roots.rtlt"]}, "stores has no use beside psk_key"),
        ({"psk_key": KEY, "psk_identity": "a", "cafile": "/ca.pem"}, "cafile has no use beside psk_key"),
        ({"psk_key": KEY, "psk_identity": "a", "client_cert": "/b.pem"}, "client_cert has no use beside psk_key"),
        (
            {"psk_key": KEY, "psk_identity": "a", "updates": {"urls": ["https://a/"]}},
            "updates.urls is given and stores",
        ),
        ({"client_key": "/b.key"}, "client_key is given without client_cert"),
        ({"pins": ["sha256//AAAA"]}, "pins must be 2 to 16 entries long"),
        ({"job": {"proxy": "https://proxy:3128"}}, "job.proxy must begin with http://"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused_by_name(settings: dict[str, Any], words: str) -> None:
    settings["job"] = {"url": "https://demo.test/", **settings.get("job", {})}
    with pytest.raises(UsageError, match=words.replace(".", r"\.")) as caught:
        board_config.check(settings, "rootlet.toml")
    assert KEY not in str(caught.value) + str(caught.value.remedy)


def test_certificates_and_keys_that_do_not_work_are_refused_before_a_board_is_asked(
    here: Path, clients: pki.Authority
) -> None:
    board, other = (clients.issue(common_name=name, usage=None) for name in ("board", "other"))
    encrypted = board.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    wrong_kind = ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    here.joinpath("board.pem").write_bytes(board.chain_pem)
    here.joinpath("both.pem").write_bytes(board.chain_pem + board.key_pem)
    here.joinpath("board.der").write_bytes(board.der)
    configure(here, 443, 'client_cert = "/b.pem"\nclient_key = "/b.key"')
    for name, data, words in (
        ("encrypted.key", encrypted, "is encrypted, and a board has nobody to ask for the passphrase"),
        ("other.key", other.key_pem, "does not belong to board.pem"),
        ("ed25519.key", wrong_kind, "is neither an EC nor an RSA key"),
        ("broken.key", board.key_pem[:100], "holds no private key"),
    ):
        here.joinpath(name).write_bytes(data)
        done = rootlet(here, "--port", "/dev/nowhere", "--client-cert", "board.pem", "--client-key", name)
        assert done.returncode == 2
        assert words in done.stderr and done.stderr.count("\n") == 1, (name, done.stderr)
        assert "nowhere" not in done.stderr
    der = board.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    here.joinpath("board.key").write_bytes(der)
    assert board_config.client_identity(here / "board.der", here / "board.key") == (board.der, der)
    assert board_config.client_identity(here / "both.pem", None)[1] is None
    assert board_config.client_identity(here / "board.pem", None)[1] is None


def test_secrets_that_git_keeps_are_refused(tmp_path: Path, clients: pki.Authority) -> None:
    board = clients.issue(common_name="board", usage=None)
    key, config = tmp_path / "board.key", tmp_path / "rootlet.toml"
    key.write_bytes(board.key_pem)
    config.write_text("")
    settings = {"psk_identity": "a", "psk_key": KEY, "job": {"proxy": "http://user:word@proxy:3128"}}
    board_config.check_kept_secrets(settings, config)
    assert board_config.with_psk_key(settings, config, None, None)[1] == f"from {config}"
    assert board_config.client_identity(None, key) == (None, board.key_pem)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    for refused in (
        lambda: board_config.with_psk_key(settings, config, None, None),
        lambda: board_config.check_kept_secrets(settings, config),
        lambda: board_config.client_identity(None, key),
    ):
        with pytest.raises(UsageError, match="kept by git") as caught:
            refused()
        assert KEY not in str(caught.value) and "word@" not in str(caught.value)


def test_who_sits_at_a_terminal_is_asked_for_the_pre_shared_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(board_config.PSK_VARIABLE, raising=False)
    settings = {"psk_identity": "a"}
    made, source = board_config.with_psk_key(
        settings, tmp_path / "x", {"psk_identity": "b", "psk_key": "x"}, lambda i: KEY
    )
    assert (made["psk_key"], source) == (KEY, "as typed")
