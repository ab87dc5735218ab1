"""A board that lost everything but its publisher: no clock, and a store whose only root has expired."""

from __future__ import annotations

import shutil

import pytest
from support import pki
from support.firmware import Firmware
from support.servers import tls_server

from .conftest import MakeBoard, Publisher
from .web import Site, serving

PATH = "/roots.rtlt"
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def at(moment: str) -> dict[str, str]:
    """The environment of a process whose clock starts at `moment`."""
    return {"LD_PRELOAD": FAKETIME, "FAKETIME": f"@{moment}"}


@pytest.fixture
def expired() -> pki.Authority:
    return pki.make_ca("expired root", not_before=pki.now() - pki.days(900), not_after=pki.now() - pki.days(2))


def test_a_board_without_a_clock_and_with_an_expired_root_is_rescued_over_plain_http(
    make_board: MakeBoard, publisher: Publisher, expired: pki.Authority, firmware: Firmware
) -> None:
    assert shutil.which("faketime"), "faketime is not installed"
    fresh = pki.make_ca("fresh root")
    issued_at = int(pki.now().timestamp()) - 3600
    board = make_board(publisher.store(5, expired))
    site = Site({PATH: publisher.release(6, fresh, issued_at=issued_at)})
    with tls_server(fresh.issue("127.0.0.1")) as server, serving(site) as plain:
        # What the world looks like to the board: its clock is right, and nothing verifies.
        unreachable = board.update(connect=["127.0.0.1", server.port])["connection"]
        assert unreachable["kind"] == "UnknownIssuerError"

        # It comes back from a long power failure in 2015. HTTPS cannot work; the signed store comes over plain HTTP.
        secure = f"https://127.0.0.1:{server.port}{PATH}"
        result = board.update(
            secure,
            plain + PATH,
            context={"store": str(board.store)},
            connect=["127.0.0.1", server.port],
            environment=at("2015-01-01 00:00:00"),
        )
        run = result["runs"][0]
        assert (run["outcome"], run["sequence"]) == ("updated", 6)
        assert "the clock is not set: it says 2015-01-01" in run["error"]

        # With the new store there is still no TLS without a time, and the board says what to do.
        assert result["connection"]["kind"] == "ClockError"
        assert "Set the clock" in result["connection"]["remedy"]
        assert server.accepted <= 3 + firmware.has("tls1.3")

        # A time before the store was issued cannot be right either.
        early = board.update(connect=["127.0.0.1", server.port], environment=at("2023-11-14 00:00:00"))
        assert early["connection"]["kind"] == "ClockError"

        # The clock is set: everything works.
        connection = board.update(connect=["127.0.0.1", server.port])["connection"]
        assert connection["kind"] is None
        assert connection["body"].endswith("hello")


def test_the_expired_root_does_not_serve_its_old_server_any_more(
    make_board: MakeBoard, publisher: Publisher, expired: pki.Authority
) -> None:
    board = make_board(publisher.store(5, expired))
    leaf = expired.issue("127.0.0.1", not_after=pki.now() + pki.days(1))
    with tls_server(leaf) as server:
        assert board.update(connect=["127.0.0.1", server.port])["connection"]["kind"] == "ExpiredError"


def test_a_store_past_its_last_day_of_use_makes_no_connection_and_can_be_replaced(
    make_board: MakeBoard, publisher: Publisher, root: pki.Authority
) -> None:
    board = make_board(publisher.store(5, root, not_used_after=1_700_000_001))
    site = Site({PATH: publisher.release(6, root)})
    with tls_server(root.issue("127.0.0.1")) as server, serving(site) as plain:
        target = ["127.0.0.1", server.port]
        connection = board.update(connect=target)["connection"]
        assert connection["kind"] == "TrustStoreExpiredError"
        assert "past its not-used-after date" in connection["message"]
        result = board.update(
            f"https://127.0.0.1:{server.port}{PATH}", plain + PATH, context={"store": str(board.store)}, connect=target
        )
        assert "past its not-used-after date" in result["runs"][0]["error"]
        assert result["runs"][0]["sequence"] == 6
        assert result["connection"]["kind"] is None


def test_a_board_that_lost_all_its_stores_is_rescued(
    make_board: MakeBoard, publisher: Publisher, root: pki.Authority
) -> None:
    board = make_board(publisher.store(5, root))
    board.store.unlink()
    with tls_server(root.issue("127.0.0.1")) as server, serving(Site({PATH: publisher.release(6, root)})) as plain:
        result = board.update(plain + PATH, connect=["127.0.0.1", server.port])
    assert result["runs"][0]["sequence"] == 6
    assert result["connection"]["kind"] is None
