"""`rootlet publish`: what a web server needs, in the right order, and nothing older than what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rootlet_host import publish
from rootlet_host.errors import HostError
from rootlet_host.signing import new_publisher_key, publisher_certificate, sign_store
from rootlet_host.store import anchors_from_certificates, build_store
from store_help import PEM, Result, Runner, make_certificate

KEY = new_publisher_key()
PUBLISHER = publisher_certificate("publisher", KEY)
ANCHORS = anchors_from_certificates([make_certificate().certificate])


def make(path: Path, sequence: int, *, signed: bool = True, issued_at: int = 1_700_000_000, series: str = "") -> Path:
    store = build_store(ANCHORS, sequence=sequence, issued_at=issued_at, series=series)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(sign_store(store, KEY, PUBLISHER) if signed else store)
    return path


def test_the_folder_holds_the_store_its_description_and_the_history(rootlet: Runner, tmp_path: Path) -> None:
    web = tmp_path / "web"
    first = make(tmp_path / "roots.rtlt", 6)
    assert rootlet("publish", web, first).code == 0
    kept = first.read_bytes()
    make(first, 7)
    result = rootlet("publish", web, first, "--json")
    assert (result.code, json.loads(result.out)[0]["state"]) == (0, "changed")
    described = json.loads((web / "roots.json").read_text())
    assert (described["sequence"], described["signed"], described["anchors"]) == (7, True, 1)
    assert described["digest"] == first.read_bytes()[32:64].hex()
    assert described["size"] == len(first.read_bytes())
    assert (web / described["release"]).read_bytes() == (web / described["file"]).read_bytes() == first.read_bytes()
    assert (web / "history" / "roots-6.rtlt").read_bytes() == kept
    assert sorted(path.name for path in web.iterdir()) == ["history", "roots.json", "roots.rtlt"]


def test_publishing_the_same_again_changes_no_file(rootlet: Runner, tmp_path: Path) -> None:
    store = make(tmp_path / "roots.rtlt", 6)
    web = tmp_path / "web"
    rootlet("publish", web, store)
    before = {path: path.stat().st_mtime_ns for path in web.rglob("*")}
    make(store, 6)  # signed once more
    result = rootlet("publish", web, store)
    assert (result.code, "unchanged" in result.out) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in web.rglob("*")} == before


@pytest.mark.parametrize(("sequence", "issued_at"), [(5, 1_700_000_000), (6, 1_700_000_001)])
def test_an_older_store_or_another_of_the_same_sequence_is_refused(
    rootlet: Runner, tmp_path: Path, sequence: int, issued_at: int
) -> None:
    web = tmp_path / "web"
    rootlet("publish", web, make(tmp_path / "roots.rtlt", 6))
    published = (web / "roots.rtlt").read_bytes()
    result = rootlet("publish", web, make(tmp_path / "roots.rtlt", sequence, issued_at=issued_at))
    assert result.code == 1
    assert "already has 6" in result.err
    assert (web / "roots.rtlt").read_bytes() == published


def test_a_store_of_another_series_is_not_published_under_the_same_name(rootlet: Runner, tmp_path: Path) -> None:
    web = tmp_path / "web"
    assert rootlet("publish", web, make(tmp_path / "roots.rtlt", 6, series="web")).code == 0
    result = rootlet("publish", web, make(tmp_path / "roots.rtlt", 7, series="site"))
    assert result.code == 1
    assert "series site" in result.err and "series web" in result.err
    assert json.loads((web / "roots.json").read_text())["series"] == "web"


def test_a_sequence_that_was_published_is_never_used_for_another_store(rootlet: Runner, tmp_path: Path) -> None:
    web = tmp_path / "web"
    rootlet("publish", web, make(tmp_path / "roots.rtlt", 6))
    (web / "roots.rtlt").unlink()
    result = rootlet("publish", web, make(tmp_path / "roots.rtlt", 6, issued_at=1_700_000_001))
    assert (result.code, "another store with the same sequence" in result.err) == (1, True)


def test_unsigned_stores_need_a_word(rootlet: Runner, tmp_path: Path) -> None:
    store = make(tmp_path / "roots.rtlt", 6, signed=False)
    result = rootlet("publish", tmp_path / "web", store)
    assert (result.code, "is not signed" in result.err) == (1, True)
    assert not (tmp_path / "web").exists()
    assert rootlet("publish", tmp_path / "web", store, "--allow-unsigned").code == 0


def test_only_what_the_publisher_signed_is_published_when_one_is_named(rootlet: Runner, tmp_path: Path) -> None:
    store = make(tmp_path / "roots.rtlt", 6)
    mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
    mine.write_bytes(PUBLISHER.public_bytes(PEM))
    other.write_bytes(publisher_certificate("publisher", new_publisher_key()).public_bytes(PEM))
    result = rootlet("publish", tmp_path / "web", store, "--publisher", other)
    assert (result.code, "another publisher" in result.err) == (1, True)
    assert rootlet("publish", tmp_path / "web", store, "--publisher", mine).code == 0


def test_nothing_is_written_when_one_of_several_is_bad(rootlet: Runner, tmp_path: Path) -> None:
    good = make(tmp_path / "roots.rtlt", 6)
    bad = make(tmp_path / "site.rtlt", 6)
    bad.write_bytes(bad.read_bytes()[:-1])
    assert rootlet("publish", tmp_path / "web", good, bad).code == 1
    assert not (tmp_path / "web").exists()
    make(bad, 2)
    assert rootlet("publish", tmp_path / "web", good, bad).code == 0
    result: Result = rootlet("publish", tmp_path / "web", good, make(tmp_path / "other" / "roots.rtlt", 7))
    assert (result.code, "same file name" in result.err) == (2, True)


def test_what_the_description_names_is_there_at_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web = tmp_path / "web"
    store = make(tmp_path / "roots.rtlt", 6)
    publish.write(web, publish.examine(web, store, None))
    make(store, 7)
    real = publish.write_atomic

    for limit in (0, 1, 1):  # at the history, at the store, at the description
        made = 0

        def write_atomic(path: Path, data: bytes, limit: int = limit) -> None:
            nonlocal made
            if made == limit:
                raise HostError("the disk is full")
            made += 1
            real(path, data)

        monkeypatch.setattr(publish, "write_atomic", write_atomic)
        with pytest.raises(HostError):
            publish.write(web, publish.examine(web, store, None))
        described = json.loads((web / "roots.json").read_text())
        assert described["sequence"] == 6
        assert (web / described["release"]).read_bytes()[32:64].hex() == described["digest"]
    assert (web / "roots.rtlt").read_bytes()[8] == 7
    monkeypatch.setattr(publish, "write_atomic", real)
    publish.write(web, publish.examine(web, store, None))
    assert json.loads((web / "roots.json").read_text())["sequence"] == 7


def test_a_folder_that_cannot_be_made_is_named(rootlet: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "web"
    folder.write_bytes(b"")
    result = rootlet("publish", folder, make(tmp_path / "roots.rtlt", 6))
    assert (result.code, str(folder) in result.err) == (1, True)
