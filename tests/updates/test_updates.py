"""A board in the field updates its store: over HTTP and HTTPS, without asking for more than is new."""

from __future__ import annotations

import pytest
from support import pki

from .conftest import FieldBoard, MakeBoard, Publisher
from .web import Site, raw, serving

PATH = "/roots.rtlt"
Roots = list[pki.Authority]


@pytest.fixture
def site(publisher: Publisher, roots: Roots) -> Site:
    return Site({PATH: publisher.release(6, *roots)})


@pytest.fixture(scope="module")
def identity(root: pki.Authority) -> pki.Issued:
    return root.issue("127.0.0.1", "localhost")


def https(board: FieldBoard) -> dict[str, object]:
    return {"context": {"store": str(board.store)}}


def test_a_newer_store_over_plain_http_is_put_in_force(board: FieldBoard, site: Site) -> None:
    with serving(site) as base:
        run = board.run(base + PATH)
    assert (run["outcome"], run["sequence"], run["error"]) == ("updated", 6, None)


def test_a_newer_store_over_verified_https_is_put_in_force(board: FieldBoard, site: Site, identity: pki.Issued) -> None:
    with serving(site, identity) as base:
        run = board.run(base + PATH, **https(board))
    assert (run["outcome"], run["sequence"], run["error"]) == ("updated", 6, None)


def test_https_is_verified(board: FieldBoard, site: Site) -> None:
    stranger = pki.make_ca("stranger").issue("127.0.0.1")
    with serving(site, stranger) as base:
        run = board.run(base + PATH, **https(board))
    assert run["outcome"] == "failed"
    assert "no trust store has the issuer" in run["error"]
    assert site.requests == []


def test_a_board_that_is_current_gets_304_and_asks_with_its_etag_after_a_restart(board: FieldBoard, site: Site) -> None:
    with serving(site) as base:
        assert board.run(base + PATH)["outcome"] == "updated"
        run = board.run(base + PATH)
    assert (run["outcome"], run["sequence"]) == ("current", 6)
    assert [status for status, _ in site.answers] == [200, 304]


def test_a_board_that_lost_its_newest_store_fetches_it_again_although_it_knows_its_tag(
    board: FieldBoard, site: Site
) -> None:
    with serving(site) as base:
        assert board.run(base + PATH)["outcome"] == "updated"
        board.store.with_name("roots.a").joinpath("store.rtlt").unlink()
        run = board.run(base + PATH)
    assert (run["outcome"], run["sequence"]) == ("updated", 6)
    assert [status for status, _ in site.answers] == [200, 200]


def test_the_header_is_enough_to_see_that_nothing_is_new(
    board: FieldBoard, publisher: Publisher, many_roots: Roots, make_board: MakeBoard
) -> None:
    store = publisher.release(9, *many_roots)
    board = make_board(store, "other")
    with serving(Site({PATH: store})) as base:
        run = board.run(base + PATH)
    assert (run["outcome"], run["error"]) == ("current", None)
    assert not board.store.with_name("roots.a").joinpath("store.rtlt").exists(), "the store was downloaded"


def test_three_updates_in_a_row_alternate_between_the_slots(
    board: FieldBoard, publisher: Publisher, roots: Roots
) -> None:
    site = Site()
    with serving(site) as base:
        for sequence in (6, 7, 8, 9):
            site.files[PATH] = publisher.release(sequence, *roots[: 1 + sequence % 3])
            assert board.run(base + PATH)["sequence"] == sequence
    headers = [board.store.with_name(f"roots.{slot}").joinpath("store.rtlt").read_bytes()[:9] for slot in "ab"]
    assert [header[8] for header in headers] == [8, 9]


def test_the_publisher_can_change_and_the_old_one_is_not_believed_any_more(
    board: FieldBoard, publisher: Publisher, roots: Roots
) -> None:
    successor = Publisher("successor")
    site = Site()
    with serving(site) as base:
        site.files[PATH] = successor.release(6, *roots)
        assert "signature" in board.run(base + PATH)["error"], "not announced yet"
        for release in (publisher.release(7, *roots, announce=successor), successor.release(8, *roots)):
            site.files[PATH] = release
            assert board.run(base + PATH)["outcome"] == "updated"
        site.files[PATH] = publisher.release(9, *roots)
        run = board.run(base + PATH)
        assert (run["outcome"], run["sequence"]) == ("failed", 8)
        site.files[PATH] = successor.release(10, *roots)
        assert board.run(base + PATH)["sequence"] == 10


def test_the_next_url_is_tried_when_one_fails(board: FieldBoard, site: Site) -> None:
    with serving(site) as good, serving(Site()) as empty:
        run = board.run("http://127.0.0.1:9/", empty + PATH, "https://127.0.0.1:9/", good + PATH)
    assert (run["outcome"], run["sequence"]) == ("updated", 6)
    assert "refuses connections" in run["error"]
    assert "404" in run["error"]
    assert "there is no context for https" in run["error"]


def test_a_download_that_broke_goes_on_where_it_broke(
    board: FieldBoard, publisher: Publisher, many_roots: Roots
) -> None:
    store = publisher.release(6, *many_roots)
    site = Site({PATH: store})
    site.cut_after = 6000
    with serving(site) as base:
        run = board.run(base + PATH)
        assert (run["outcome"], run["sequence"]) == ("failed", 5)
        site.cut_after = 2000
        assert board.run(base + PATH)["sequence"] == 5
        site.cut_after = None
        run = board.run(base + PATH)
    assert (run["outcome"], run["sequence"]) == ("updated", 6)
    assert site.answers == [(200, 6000), (206, 2000), (206, len(store) - 8000)]


def test_a_download_is_not_continued_with_another_file(
    board: FieldBoard, publisher: Publisher, many_roots: Roots
) -> None:
    site = Site({PATH: publisher.release(6, *many_roots)})
    site.cut_after = 6000
    with serving(site) as base:
        board.run(base + PATH)
        site.cut_after = None
        site.files[PATH] = publisher.release(7, *many_roots)
        assert board.run(base + PATH)["sequence"] == 7
    assert [status for status, _ in site.answers] == [200, 200]


def test_a_download_whose_beginning_is_gone_begins_anew(
    board: FieldBoard, publisher: Publisher, many_roots: Roots
) -> None:
    site = Site({PATH: publisher.release(6, *many_roots)})
    site.cut_after = 6000
    with serving(site) as base:
        board.run(base + PATH)
        board.store.with_name("roots.a").joinpath("store.rtlt").unlink()
        site.cut_after = None
        assert board.run(base + PATH)["sequence"] == 6
    assert [status for status, _ in site.answers] == [200, 200]


def test_a_damaged_part_of_a_download_is_fetched_again(
    board: FieldBoard, publisher: Publisher, many_roots: Roots
) -> None:
    site = Site({PATH: publisher.release(6, *many_roots)})
    site.cut_after = 6000
    with serving(site) as base:
        board.run(base + PATH)
        path = board.store.with_name("roots.a") / "store.rtlt"
        data = bytearray(path.read_bytes())
        data[3000] ^= 1
        path.write_bytes(data)
        site.cut_after = None
        assert board.run(base + PATH)["sequence"] == 6
    assert [status for status, _ in site.answers] == [200, 206, 200]


def test_a_store_without_a_name_for_its_version_is_taken_too(
    board: FieldBoard, publisher: Publisher, roots: Roots
) -> None:
    store = publisher.release(6, *roots)
    chunks = b"".join(
        b"%x\r\n%s\r\n" % (len(store[i : i + 100]), store[i : i + 100]) for i in range(0, len(store), 100)
    )
    with raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n") as url:
        run = board.run(url)
    assert (run["outcome"], run["sequence"]) == ("updated", 6)


def test_the_waits_grow_with_failures_and_have_chance_in_them(board: FieldBoard, site: Site) -> None:
    with serving(site) as base:
        waits = {board.run(base + PATH, updater={"period_s": 1000})["left_s"] for _ in range(4)}
    assert all(899 <= wait <= 1101 for wait in waits)
    assert len(waits) > 1
    failed = board.run("http://127.0.0.1:9/", updater={"period_s": 1000})
    assert 29 <= failed["left_s"] <= 61
