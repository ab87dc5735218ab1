"""The application keeps its store up to date when rootlet.json says where to look."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support import pki
from support.application import HOST, SCRIPTS, Board
from support.servers import tls_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "modem"))

from pty_modem import PtyModem

from .conftest import Publisher
from .web import Site, serving

PATH = "/roots.rtlt"


@pytest.fixture
def trusting(tmp_path: Path, publisher: Publisher, root: pki.Authority) -> Board:
    """A board whose store has one root that the server of its job is not under."""
    board = Board(tmp_path)
    board.write("certs/publisher.der", publisher.der)
    board.write("certs/roots.rtlt", publisher.store(1, pki.make_ca("too old")))
    return board


def configure(board: Board, port: int, *urls: str, **job: object) -> None:
    job = {"url": f"https://127.0.0.1:{port}/", **job}
    board.write("rootlet.json", json.dumps({"job": job, "updates": {"urls": urls}}))


def test_the_store_is_renewed_before_the_job_that_needs_it(
    trusting: Board, publisher: Publisher, root: pki.Authority
) -> None:
    site = Site({PATH: publisher.release(2, root)})
    with serving(site) as base, tls_server(root.issue("127.0.0.1")) as server:
        configure(trusting, server.port)
        assert trusting.run().status == 1, "without updates the server is unknown"
        configure(trusting, server.port, base + PATH)
        run = trusting.run()
        assert run.status == 0, run.output
        assert "sequence 2 is in force now" in run.output
        assert trusting.run().status == 0
    assert [status for status, _ in site.answers] == [200], "asked again before the period was over"


def test_a_board_whose_network_is_a_modem_gets_its_store_through_it(
    trusting: Board, publisher: Publisher, root: pki.Authority
) -> None:
    trusting.write("machine.py", SCRIPTS.joinpath("fake_machine.py").read_bytes())
    with (
        serving(Site({PATH: publisher.release(2, root)})) as base,
        tls_server(root.issue(HOST)) as server,
        PtyModem({HOST: "127.0.0.1", "stores.example.org": "127.0.0.1"}) as modem,
    ):
        trusting.environment["MODEM"] = modem.path
        trusting.configure(
            job={"url": f"https://{HOST}:{server.port}/"},
            network={"kind": "modem"},
            modem={"uart": 1},
            updates={"urls": [base.replace("127.0.0.1", "stores.example.org") + PATH]},
        )
        run = trusting.run()
    assert run.status == 0, run.output
    assert "sequence 2 is in force now" in run.output
    assert any('"stores.example.org"' in command for command in modem.modem.log)


@pytest.mark.parametrize("store", [None, b"nonsense"], ids=["missing", "damaged"])
def test_a_board_without_a_usable_store_gets_one(
    trusting: Board, publisher: Publisher, root: pki.Authority, store: bytes | None
) -> None:
    (trusting.root / "certs" / "roots.rtlt").unlink()
    if store:
        trusting.write("certs/roots.rtlt", store)
    with serving(Site({PATH: publisher.release(2, root)})) as base, tls_server(root.issue("127.0.0.1")) as server:
        configure(trusting, server.port, base + PATH)
        run = trusting.run()
    assert run.status == 0, run.output
    assert "sequence 2 is in force now" in run.output


def test_an_update_that_fails_does_not_fail_the_job(trusting: Board, publisher: Publisher, root: pki.Authority) -> None:
    trusting.write("certs/roots.rtlt", publisher.store(1, root))
    with tls_server(root.issue("127.0.0.1")) as server:
        configure(trusting, server.port, "http://127.0.0.1:9/roots.rtlt")
        run = trusting.run()
    assert run.status == 0, run.output
    assert "refuses connections to port 9" in run.output


@pytest.mark.parametrize(
    ("updates", "words"),
    [
        ({"urls": ["ftp://example.org/"]}, "must begin with https:// or http://"),
        ({"urls": "http://example.org/"}, "updates.urls must be a list of texts"),
        ({"period_s": 1}, "updates.period_s must be 60 to 604800"),
        ({"unsigned": "always"}, "updates.unsigned must be one of: first-push, never, usb"),
        ({"url": "http://example.org/"}, "updates.url is no setting"),
    ],
)
def test_wrong_settings_are_named(trusting: Board, updates: dict[str, object], words: str) -> None:
    trusting.write("rootlet.json", json.dumps({"job": {"url": "https://example.org/"}, "updates": updates}))
    run = trusting.run()
    assert run.status == 1
    assert words in run.output
