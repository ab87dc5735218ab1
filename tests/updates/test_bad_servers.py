"""Servers that lie, stall or attack: refused with a reason, in bounded time and memory, and the current store stays."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from support import pki

from .conftest import FieldBoard, Publisher
from .web import Site, raw, serving

PATH = "/roots.rtlt"
OK = b"HTTP/1.1 200 OK\r\n"
Roots = list[pki.Authority]


@pytest.fixture(scope="module")
def identity(root: pki.Authority) -> pki.Issued:
    return root.issue("127.0.0.1")


def files(board: FieldBoard) -> dict[str, bytes]:
    """What is on the board and counts: the store in force and who may sign the next one."""
    return {path.name: path.read_bytes() for path in board.store.parent.iterdir() if path.is_file()}


def refused(board: FieldBoard, url: str, *reasons: str, **request: object) -> dict[str, object]:
    before = files(board)
    run = board.run(url, **request)
    assert (run["outcome"], run["sequence"]) == ("failed", 5)
    for reason in reasons:
        assert reason in run["error"]
    assert files(board) == before
    return run


def test_an_older_store_is_not_taken_again(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    with serving(Site({PATH: publisher.release(4, *roots)})) as base:
        refused(board, base + PATH, "the server has sequence 4, and 5 is in force")


def test_another_store_of_the_same_sequence_is_not_taken(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    with serving(Site({PATH: publisher.release(5, *roots[1:])})) as base:
        refused(board, base + PATH, "sequence 5")


@pytest.mark.parametrize("series", ["", "site"])
def test_another_store_of_the_same_publisher_is_refused(
    board: FieldBoard, publisher: Publisher, roots: Roots, series: str
) -> None:
    other = publisher.release(6, *roots, series=series)
    site = Site({PATH: publisher.release(5, *roots, series="web"), "/other": other})
    board.store.write_bytes(publisher.release(4, *roots))  # of no series: the first one with a series is taken
    with serving(site) as base:
        assert board.run(base + PATH)["outcome"] == "updated"
        refused(board, base + "/other", f"the store's series is {series or 'none'}, and that of the one in force web")


def test_a_store_of_another_publisher_is_refused(board: FieldBoard, roots: Roots) -> None:
    with serving(Site({PATH: Publisher().release(6, *roots)})) as base:
        refused(board, base + PATH, "its signature is not the publisher's")


def test_an_unsigned_store_is_refused(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    with serving(Site({PATH: publisher.store(6, *roots)})) as base:
        refused(board, base + PATH, "is not signed")


def test_a_signature_over_other_content_is_refused(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    wanted = publisher.store(6, *roots, pki.make_ca("attacker"))
    signed = publisher.release(6, *roots)
    envelope = signed[len(publisher.store(6, *roots)) :]
    with serving(Site({PATH: wanted + envelope})) as base:
        refused(board, base + PATH, "its signature is not the publisher's")


def test_a_signature_over_another_sequence_is_refused(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    signed = publisher.release(6, *roots)
    wanted = publisher.store(7, *roots)
    with serving(Site({PATH: wanted + signed[len(wanted) :]})) as base:
        refused(board, base + PATH, "its signature is not the publisher's")


def test_a_damaged_store_is_refused(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    store = bytearray(publisher.release(6, *roots))
    store[200] ^= 1
    with serving(Site({PATH: bytes(store)})) as base:
        refused(board, base + PATH, "its SHA-256 does not match")


def test_a_page_that_is_no_store_is_refused_at_its_first_bytes(board: FieldBoard) -> None:
    with serving(Site({PATH: b"<html>" + bytes(100_000)})) as base:
        refused(board, base + PATH, "is no trust store")


@pytest.mark.parametrize(
    ("length", "reason"),
    [(64, "does not fit its content"), (-10, "too early"), (6000, "does not fit"), (10, "too early")],
)
def test_a_length_that_is_a_lie_is_refused(
    board: FieldBoard, publisher: Publisher, roots: Roots, length: int, reason: str
) -> None:
    store = publisher.release(6, *roots)
    if reason == "too early":
        body = store[: len(store) - abs(length)]
        length = len(store)
    else:
        body = store
    with raw(OK + b"Content-Length: %d\r\n\r\n" % length + body) as url:
        refused(board, url, reason)


def test_a_store_that_ends_too_early_without_a_length_is_refused(
    board: FieldBoard, publisher: Publisher, roots: Roots
) -> None:
    with raw(OK + b"\r\n" + publisher.release(6, *roots)[:-20]) as url:
        refused(board, url, "signature envelope is damaged")


def test_a_gigabyte_is_refused_when_it_is_announced(board: FieldBoard) -> None:
    with raw(OK + b"Content-Length: 1073741824\r\n\r\n" + bytes(10_000)) as url:
        refused(board, url, "1073741824 bytes, the limit is 262144")


def test_a_gigabyte_without_a_length_is_refused_where_the_store_must_end(
    board: FieldBoard, publisher: Publisher, roots: Roots
) -> None:
    store = publisher.release(6, *roots)
    with raw(OK + b"\r\n" + store, bytes(1 << 20), times=1024) as url:
        refused(board, url, "goes on after its end", heap="192K")
    slot = board.store.with_name("roots.a") / "store.rtlt"
    assert slot.stat().st_size < len(store) + 6000


def test_a_header_that_claims_more_than_the_limit_is_refused(board: FieldBoard, publisher: Publisher) -> None:
    header = bytearray(publisher.store(6))
    header[20:24] = (1 << 20).to_bytes(4, "little")
    with raw(OK + b"\r\n" + bytes(header) + bytes(1 << 20)) as url:
        refused(board, url, "does not fit its content")


@pytest.mark.parametrize("secure", [False, True])
def test_a_server_that_drips_is_given_up_at_the_deadline(
    board: FieldBoard, publisher: Publisher, roots: Roots, identity: pki.Issued, secure: bool
) -> None:
    store = publisher.release(6, *roots)
    pieces = [store[i : i + 1] for i in range(400)]
    options = {"context": {"store": str(board.store)}} if secure else {}
    with raw(
        OK + b"Content-Length: %d\r\n\r\n" % len(store), *pieces, pause_s=0.02, identity=identity if secure else None
    ) as url:
        run = refused(board, url, "too slow", updater={"timeout_ms": 800}, **options)
    assert run["elapsed_ms"] < 5000


@pytest.mark.parametrize("secure", [False, True])
def test_a_server_that_drips_its_header_is_given_up(board: FieldBoard, identity: pki.Issued, secure: bool) -> None:
    options = {"context": {"store": str(board.store)}} if secure else {}
    with raw(OK, *(b"X-%d: 1\r\n" % i for i in range(400)), pause_s=0.02, identity=identity if secure else None) as url:
        run = refused(board, url, "no answer in time", updater={"wait_ms": 600}, **options)
    assert run["elapsed_ms"] < 5000


def test_a_silent_server_is_given_up(board: FieldBoard) -> None:
    with raw(pause_s=5) as url, raw(OK, pause_s=5) as other:
        for silent in (url, other):
            run = refused(board, silent, updater={"wait_ms": 300})
            assert run["elapsed_ms"] < 4500


def test_redirects_are_followed_and_may_lead_to_https(
    board: FieldBoard, publisher: Publisher, roots: Roots, identity: pki.Issued
) -> None:
    site = Site({PATH: publisher.release(6, *roots)})
    with serving(site, identity) as secure, serving(site) as plain:
        site.redirects = {"/old": "/older", "/older": secure + PATH}
        run = board.run(plain + "/old", context={"store": str(board.store)})
    assert (run["outcome"], run["sequence"]) == ("updated", 6)


def test_a_redirect_from_https_to_plain_http_is_refused(
    board: FieldBoard, publisher: Publisher, roots: Roots, identity: pki.Issued
) -> None:
    plain_site = Site({PATH: publisher.release(6, *roots)})
    with serving(plain_site) as plain:
        site = Site()
        site.redirects = {PATH: plain + PATH}
        with serving(site, identity) as secure:
            refused(board, secure + PATH, "redirects to http://", context={"store": str(board.store)})
    assert plain_site.requests == []


@pytest.mark.parametrize("target", ["/roots.rtlt", "ftp://127.0.0.1/", "file:///etc/passwd", "", "//127.0.0.1:1/x"])
def test_redirects_in_a_circle_or_to_elsewhere_are_refused(board: FieldBoard, target: str) -> None:
    site = Site()
    site.redirects = {PATH: target}
    with serving(site) as base:
        refused(board, base + PATH, "the server redirects")
    assert len(site.requests) <= 4


def test_another_part_than_was_asked_for_is_not_appended(
    board: FieldBoard, publisher: Publisher, roots: Roots, many_roots: Roots
) -> None:
    store = publisher.release(6, *many_roots)
    site = Site({PATH: store})
    site.cut_after = 6000
    with serving(site) as base:
        refused(board, base + PATH, "too early")
    state = board.store.with_name("roots.state") / "updates.json"
    saved = state.read_text()
    assert '"partial": ["' in saved
    for range_ in (b"bytes 0-9/10", b"bytes 5999-99/100", b"bytes 6000-", b"nonsense", b""):
        with raw(b"HTTP/1.1 206 Partial Content\r\nContent-Range: %s\r\n\r\n" % range_ + store) as url:
            state.write_text(_for_url(saved, url))
            refused(board, url, "the server answers 206")
        assert '"partial": null' in state.read_text()


def _for_url(state: str, url: str) -> str:
    """The state of a board as if its broken download had been from `url`."""
    content = json.loads(state)
    content["partial"][0] = hashlib.sha256(url.encode()).hexdigest()[:12]
    return json.dumps(content)


def test_a_damaged_state_file_does_no_harm(board: FieldBoard, publisher: Publisher, roots: Roots) -> None:
    site = Site({PATH: publisher.release(6, *roots)})
    path: Path = board.store.with_name("roots.state") / "updates.json"
    path.parent.mkdir()
    with serving(site) as base:
        for content in (
            b"",
            b"{",
            b"[]",
            b"\xff" * 512,
            b'{"tag": 3, "partial": ["a", 2], "checked": {}}',
            b"null",
            b'{"checked": 1e999}',
            b'{"checked": -1e999}',
            b'{"checked": "now"}',
        ):
            path.write_bytes(content)
            board.run(base + PATH)
    assert site.requests[0][1].get("range") is None


def test_headers_without_end_are_refused(board: FieldBoard) -> None:
    with raw(OK, b"X: " + b"y" * 4000 + b"\r\n", times=1000) as url:
        refused(board, url)
