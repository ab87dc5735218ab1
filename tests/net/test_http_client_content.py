"""Content of rootlet.http.Client: codings, digests, files, and downloads that go on where they broke off."""

from __future__ import annotations

import gzip
import hashlib
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.attempt import HOST
from support.http_client import Outcome
from support.http_server import Raw, Reply, Request

Play = Callable[..., Outcome]
OK = b"HTTP/1.1 200 OK\r\n"
TEXT = b"".join(b"%d sensors say %d\r\n" % (i, i * i) for i in range(2000))
NOISE = random.Random(1).randbytes(60_000)


def deflated(data: bytes, window_bits: int, level: int = 9) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, window_bits)
    return compressor.compress(data) + compressor.flush()


def flushed(data: bytes, every: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [
        compressor.compress(data[i : i + every]) + compressor.flush(zlib.Z_SYNC_FLUSH)
        for i in range(0, len(data), every)
    ]
    return b"".join(pieces) + compressor.flush()


@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE], ids=["nothing", "a byte", "text", "noise"])
def test_gzip_and_deflate_are_decoded_however_they_are_made_and_framed(play: Play, data: bytes) -> None:
    forms = {
        "gzip": gzip.compress(data),
        "x-gzip": gzip.compress(data, 1),
        "GZIP": deflated(data, 31, 0),
        "deflate": deflated(data, 15),
        "Deflate": deflated(data, 9),
        "deflate ": deflated(data, -15),
    }
    replies: dict[str, Reply] = {}
    for coding, body in forms.items():
        headers = {"Content-Encoding": coding.strip()}
        replies[f"/{len(replies)}"] = Reply(body=body, headers=headers)
        replies[f"/{len(replies)}"] = Reply(
            body=[body[i : i + 100] for i in range(0, len(body), 100)] or [], headers=headers
        )
    steps = [{"url": target, "take": "into", "sha256": hashlib.sha256(data).hexdigest()} for target in replies]
    outcome = play(lambda request: replies[request.target], *steps, compressed=True)
    assert outcome.kinds() == [None] * len(replies)
    assert {report.bytes for report in outcome.reports} == {len(data)}
    assert outcome.site.connections == 1
    assert outcome.site.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_a_gzip_stream_that_is_flushed_every_few_bytes_is_decoded(play_blocking: Play) -> None:
    reply = Reply(body=flushed(TEXT[:20_000], 10), headers={"Content-Encoding": "gzip"})
    outcome = play_blocking(lambda _: reply, {"url": "/", "sha256": hashlib.sha256(TEXT[:20_000]).hexdigest()})
    assert (outcome.only.kind, outcome.only.bytes) == (None, 20_000)


def test_a_damaged_compressed_body_is_refused_wherever_the_damage_is(play: Play) -> None:
    good = gzip.compress(TEXT)
    wrong = {
        "checksum": good[:-6] + bytes([good[-6] ^ 1]) + good[-5:],
        "block": good[:40] + bytes([good[40] ^ 0x55]) + good[41:],
        "magic": b"\x1f\x8c" + good[2:],
        "short": good[:-20],
        "half": good[: len(good) // 2],
        "behind": good + b"x",
        "two": good + good,
        "empty blocks": good[:10] + b"\0\0\0\xff\xff" * 5000 + good[10:],
        "no gzip": TEXT[:500],
    }
    replies = {f"/{i}": Reply(body=body, headers={"Content-Encoding": "gzip"}) for i, body in enumerate(wrong.values())}
    outcome = play(lambda request: replies[request.target], *({"url": target, "take": "into"} for target in replies))
    found = dict(zip(wrong, outcome.kinds(), strict=True))
    assert found.pop("block") in ("HTTPError", "TruncationError")  # a block may well seem to go on for ever
    assert (found.pop("short"), found.pop("half")) == ("TruncationError", "TruncationError")
    assert found == dict.fromkeys(found, "HTTPError")


def test_a_small_body_that_would_fill_the_memory_is_capped(play: Play) -> None:
    bomb = Reply(body=gzip.compress(bytes(10_000_000)), headers={"Content-Encoding": "gzip"})
    outcome = play(lambda _: bomb, {"url": "/", "take": "into"}, max_bytes=100_000)
    assert outcome.only.kind == "HTTPError"
    assert "100000" in outcome.only.message


@pytest.mark.parametrize("form", ["length", "chunks", "end", "gzip"])
def test_a_body_with_another_digest_is_never_complete(play: Play, form: str, tmp_path: Path) -> None:
    replies: dict[str, Reply | Raw] = {
        "length": Reply(body=TEXT),
        "chunks": Reply(body=[TEXT[:5000], TEXT[5000:]]),
        "end": Raw(OK + b"\r\n" + TEXT),
        "gzip": Reply(body=gzip.compress(TEXT), headers={"Content-Encoding": "gzip"}),
    }
    right, wrong = hashlib.sha256(TEXT).hexdigest(), hashlib.sha256(TEXT[:-1]).hexdigest()
    file = tmp_path / "file"
    file.write_bytes(b"before")
    outcome = play(
        lambda _: replies[form],
        {"url": "/", "sha256": right},
        {"url": "/", "sha256": right.upper(), "take": "into"},
        {"url": "/", "sha256": wrong},
        {"url": "/", "sha256": wrong, "take": "into"},
        {"url": "/", "sha256": wrong, "take": len(TEXT)},
        {"url": "/", "sha256": wrong, "take": {"save": str(file)}},
    )
    ends_with_the_last_byte = form == "length"
    assert outcome.kinds() == [
        None,
        None,
        "DigestError",
        "DigestError",
        "DigestError" if ends_with_the_last_byte else None,
        "DigestError",
    ]
    assert file.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("file")] == ["file"]


def test_an_empty_body_has_a_digest_too(play_blocking: Play) -> None:
    outcome = play_blocking(
        lambda _: Reply(),
        {"url": "/", "sha256": hashlib.sha256(b"").hexdigest()},
        {"url": "/", "sha256": hashlib.sha256(b"x").hexdigest()},
        {"url": "/", "sha256": hashlib.sha256(b"x").hexdigest(), "method": "HEAD"},
    )
    assert outcome.kinds() == [None, "DigestError", None]


def test_a_file_is_replaced_as_a_whole_or_not_at_all(play: Play, tmp_path: Path) -> None:
    replies: dict[str, Reply | Raw] = {
        "/cut": Raw(OK + b"Content-Length: 99999\r\n\r\n" + NOISE, "cut"),
        "/good": Reply(body=NOISE),
    }
    file = tmp_path / "file"
    file.write_bytes(b"before")
    step = {"take": {"save": str(file)}}
    outcome = play(lambda request: replies[request.target], {"url": "/cut", **step})
    assert outcome.only.kind == "TruncationError"
    assert file.read_bytes() == b"before"
    outcome = play(lambda request: replies[request.target], {"url": "/good", **step})
    assert (outcome.only.kind, outcome.only.saved) == (None, len(NOISE))
    assert file.read_bytes() == NOISE
    assert not file.with_name("file.part").exists()


NOTE = hashlib.sha256(f"{HOST}/f".encode()).hexdigest()[:12] + ' "v1"'  # of the version "v1" of the file /f


class Origin:
    """A server of one file that understands ranges; it sends `most` bytes and cuts."""

    def __init__(self, content: bytes, tag: str | None = '"v1"', most: int = 1 << 30, **headers: str) -> None:
        self.content = content
        self.tag = tag
        self.most = most
        self.headers = headers
        self.wrong: bytes | None = None

    def __call__(self, request: Request) -> Raw:
        fields = {**self.headers, **({"ETag": self.tag} if self.tag else {})}
        body, status = self.content, "200 OK"
        asked = request.headers.get("range")
        if asked and request.headers.get("if-range") in (self.tag, self.headers.get("Last-Modified")):
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(body):
                status, fields["Content-Range"], body = "416 Range", f"bytes */{len(body)}", b""
            else:
                fields["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                status, body = "206 Partial", body[first:]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        data = f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
        return Raw((self.wrong or data) + body[: self.most], "keep" if self.most >= len(body) else "cut")


@pytest.fixture
def download(play: Play, tmp_path: Path) -> Callable[..., Outcome]:
    def run(origin: Callable[[Request], Any], **step: Any) -> Outcome:
        return play(origin, {"url": "/f", "download": str(tmp_path / "file"), **step})

    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith("file")}


def test_a_download_goes_on_where_it_broke_off(download: Callable[..., Outcome], tmp_path: Path) -> None:
    digest = hashlib.sha256(NOISE).hexdigest()
    origin = Origin(NOISE, most=25_000)
    for _ in range(2):
        outcome = download(origin, sha256=digest)
        assert outcome.only.kind == "TruncationError"
        assert not tmp_path.joinpath("file").exists()
    before = tmp_path.joinpath("file.part").stat().st_size
    # What had come when the connection was cut is kept, but for the last piece.
    assert 40_000 < before <= 50_000
    outcome = download(origin, sha256=digest)
    assert (outcome.only.kind, outcome.only.bytes) == (None, len(NOISE))
    (request,) = outcome.site.requests
    assert request.headers["range"] == f"bytes={before}-"
    assert request.headers["if-range"] == '"v1"'
    assert request.headers["accept-encoding"] == "identity"
    assert tmp_path.joinpath("file").read_bytes() == NOISE
    assert names(tmp_path) == {"file"}


def test_a_file_that_changed_is_downloaded_from_the_beginning(download: Callable[..., Outcome], tmp_path: Path) -> None:
    assert download(Origin(NOISE, most=25_000)).only.kind == "TruncationError"
    assert download(Origin(TEXT, '"v2"')).only.kind is None
    assert tmp_path.joinpath("file").read_bytes() == TEXT


@pytest.mark.parametrize(
    ("tag", "headers", "resumes"),
    [
        (None, {}, False),
        ('W/"v1"', {}, False),
        ('W/"v1"', {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Tue, 02 Jan 2024 00:00:00 GMT"}, False),
        (None, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Tue, 02 Jan 2024 00:00:00 GMT"}, True),
        (None, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, False),
        (None, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, False),
    ],
)
def test_only_a_strong_validator_lets_a_download_go_on(
    download: Callable[..., Outcome], tag: str | None, headers: dict[str, str], resumes: bool
) -> None:
    assert download(Origin(NOISE, tag, 25_000, **headers)).only.kind == "TruncationError"
    outcome = download(Origin(NOISE, tag, **headers))
    assert (outcome.only.kind, outcome.only.bytes) == (None, len(NOISE))
    assert ("range" in outcome.site.requests[0].headers) is resumes


def test_a_download_that_was_complete_but_for_its_name_is_not_repeated(
    download: Callable[..., Outcome], tmp_path: Path
) -> None:
    tmp_path.joinpath("file.part").write_bytes(TEXT)
    tmp_path.joinpath("file.etag").write_text(NOTE)
    outcome = download(Origin(TEXT), sha256=hashlib.sha256(TEXT).hexdigest())
    assert (outcome.only.kind, outcome.only.bytes) == (None, len(TEXT))
    assert tmp_path.joinpath("file").read_bytes() == TEXT
    assert len(outcome.site.requests) == 1


def test_a_part_that_is_longer_than_the_file_is_thrown_away(download: Callable[..., Outcome], tmp_path: Path) -> None:
    tmp_path.joinpath("file.part").write_bytes(TEXT + b"more")
    tmp_path.joinpath("file.etag").write_text(NOTE)
    assert download(Origin(TEXT)).only.kind is None
    assert tmp_path.joinpath("file").read_bytes() == TEXT


def test_a_damaged_part_is_found_by_the_digest_and_not_used_again(
    download: Callable[..., Outcome], tmp_path: Path
) -> None:
    tmp_path.joinpath("file").write_bytes(b"before")
    tmp_path.joinpath("file.part").write_bytes(b"?" + TEXT[1:5000])
    tmp_path.joinpath("file.etag").write_text(NOTE)
    digest = hashlib.sha256(TEXT).hexdigest()
    assert download(Origin(TEXT), sha256=digest).only.kind == "DigestError"
    assert names(tmp_path) == {"file"}
    assert tmp_path.joinpath("file").read_bytes() == b"before"
    assert download(Origin(TEXT), sha256=digest).only.kind is None
    assert tmp_path.joinpath("file").read_bytes() == TEXT


@pytest.mark.parametrize(
    "field",
    [
        "bytes 0-9/10",
        "bytes 4999-9/10",
        "bytes 4999-5007/5009",  # as long as what is missing
        "items 5000-9/10",
        "bytes 5000-x/10",
        "bytes 5000-5009/5010",
        "bytes 5000-5008/*",
        "",
    ],
)
def test_a_part_that_was_not_asked_for_is_refused(download: Callable[..., Outcome], tmp_path: Path, field: str) -> None:
    tmp_path.joinpath("file.part").write_bytes(TEXT[:5000])
    tmp_path.joinpath("file.etag").write_text(NOTE)
    origin = Origin(TEXT)
    origin.wrong = f"HTTP/1.1 206 x\r\nContent-Range: {field}\r\nContent-Length: 9\r\n\r\n".encode()
    assert download(origin).only.kind == "HTTPError"
    assert not tmp_path.joinpath("file").exists()
    origin.wrong = None
    assert download(origin).only.kind is None, "whoever cannot send parts is asked for the whole"
    assert tmp_path.joinpath("file").read_bytes() == TEXT


def test_a_part_of_another_file_with_the_same_tag_is_not_completed(
    download: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Entity tags are made of time and length by many servers: images of one build and size share theirs."""
    assert download(Origin(NOISE, most=25_000)).only.kind == "TruncationError"
    other = NOISE[::-1]
    assert download(Origin(other), url="/g").only.kind is None
    assert tmp_path.joinpath("file").read_bytes() == other


@pytest.mark.parametrize("note", ['"v\x011"', '"v1"\r\nX: y', "\0" * 20, '"', "", "\xff" * 9])
def test_a_note_that_no_header_field_could_hold_is_passed_over(
    download: Callable[..., Outcome], tmp_path: Path, note: str
) -> None:
    tmp_path.joinpath("file.part").write_bytes(b"?" * 5000)
    tmp_path.joinpath("file.etag").write_bytes((NOTE[:13] + note).encode("latin-1"))
    assert download(Origin(TEXT)).only.kind is None
    assert tmp_path.joinpath("file").read_bytes() == TEXT


def test_a_tag_with_control_characters_does_not_block_the_next_attempt(
    download: Callable[..., Outcome], tmp_path: Path
) -> None:
    assert download(Origin(NOISE, '"v\x011"', most=25_000)).only.kind == "TruncationError"
    assert download(Origin(NOISE)).only.kind is None
    assert tmp_path.joinpath("file").read_bytes() == NOISE


def test_another_status_than_200_is_no_file(download: Callable[..., Outcome], tmp_path: Path) -> None:
    for status in (204, 404, 500):
        outcome = download(lambda _, status=status: Reply(status, b""))
        assert outcome.only.kind == "HTTPError"
        assert str(status) in outcome.only.message
    assert names(tmp_path) == set()


def test_a_download_that_is_longer_than_allowed_stops(download: Callable[..., Outcome], tmp_path: Path) -> None:
    assert download(Origin(NOISE), max_bytes=30_000).only.kind == "HTTPError"
    assert download(Origin(NOISE, most=25_000), max_bytes=70_000).only.kind == "TruncationError"
    assert download(Origin(NOISE), max_bytes=50_000).only.kind == "HTTPError"
    assert not tmp_path.joinpath("file").exists()
