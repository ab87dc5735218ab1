"""rootlet.http.Client and AsyncClient: requests as the server sees them, responses, connections that are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support import pki
from support.attempt import HOST
from support.http_client import Outcome, run_steps
from support.http_server import Raw, Reply, Request, https_site

Play = Callable[..., Outcome]


def echo(request: Request) -> Reply:
    """What arrived, in words."""
    framing = "chunked" if "transfer-encoding" in request.headers else request.headers.get("content-length", "none")
    return Reply(body=f"{request.method} {request.target} {len(request.body)} {framing}".encode())


def test_every_method_arrives_and_all_share_one_connection(play: Play) -> None:
    outcome = play(
        echo,
        "/a?b=c#d",
        {"method": "HEAD", "url": "/"},
        {"method": "POST", "url": "/p", "send": {"text": "grüße"}},
        {"method": "PUT", "url": "/p", "send": {"bytes": 5000}},
        {"method": "DELETE", "url": "/p"},
        {"method": "PATCH", "url": "/p", "send": {"text": ""}},
        {"method": "POST", "url": "/"},
        {"method": "OPTIONS", "url": "/"},
    )
    assert [report.text for report in outcome.reports] == [
        "GET /a?b=c 0 none",
        "",
        "POST /p 7 7",
        "PUT /p 5000 5000",
        "DELETE /p 0 none",
        "PATCH /p 0 0",
        "POST / 0 0",
        "OPTIONS / 0 none",
    ]
    assert outcome.site.connections == 1
    assert outcome.left_idle == 1
    assert outcome.site.requests[0].headers["accept-encoding"] == "identity"
    assert outcome.site.requests[3].body == bytes(i % 251 for i in range(5000))


def test_json_goes_out_and_comes_back(play: Play) -> None:
    def application(request: Request) -> Reply:
        assert request.headers["content-type"] == "application/json"
        return Reply(body=request.body)

    value = {"a": [1, 2.5, "ü"], "b": None}
    outcome = play(application, {"method": "POST", "url": "/", "json": value, "take": "json"})
    assert outcome.only.json == value


def test_a_body_that_is_no_json_is_an_error_in_words(play_blocking: Play) -> None:
    outcome = play_blocking(lambda _: Reply(body=b"<html>"), {"url": "/", "take": "json"})
    assert outcome.only.kind == "HTTPError"
    assert "JSON" in outcome.only.message


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 70_000])
def test_bodies_from_bytes_files_and_iterators_arrive_whole(play: Play, size: int, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"f" * size)
    outcome = play(
        echo,
        {"method": "POST", "url": "/bytes", "send": {"bytes": size}},
        {"method": "POST", "url": "/file", "send": {"file": str(file)}},
        {"method": "POST", "url": "/stream", "send": {"stream": size}},
        {"method": "POST", "url": "/stream", "send": {"stream": size}, "length": size},
        {"method": "POST", "url": "/chunks", "send": {"chunks": [size, 0, 1]}},
        {"method": "POST", "url": "/chunks", "send": {"chunks": [size, 7]}, "length": size + 7},
    )
    assert [report.text for report in outcome.reports] == [
        f"POST /bytes {size} {size}",
        f"POST /file {size} {size}",
        f"POST /stream {size} chunked",
        f"POST /stream {size} {size}",
        f"POST /chunks {size + 1} chunked",
        f"POST /chunks {size + 7} {size + 7}",
    ]
    assert outcome.site.requests[2].body == b"a" * size
    assert outcome.site.connections == 1


@pytest.mark.parametrize("length", [99, 101])
def test_a_body_with_another_length_than_it_said_is_never_completed(play: Play, length: int) -> None:
    outcome = play(
        echo, {"method": "PUT", "url": "/", "send": {"chunks": [50, 50]}, "length": length}, "/", breaks_off=True
    )
    assert outcome.kinds() == ["ConfigError", None]
    assert len(outcome.site.requests) == 1, "the broken request must not look complete"
    assert outcome.site.connections == 2


def test_bodies_of_responses_stream_through_a_small_heap(play: Play) -> None:
    def application(request: Request) -> Reply:
        return Reply(body=b"x" * 300_000 if request.target == "/whole" else [b"x" * 3000] * 100)

    outcome = play(
        application,
        {"url": "/whole", "take": "into"},
        {"url": "/chunks", "take": "into"},
        {"url": "/whole", "take": "counter"},
        {"url": "/chunks", "take": "counter"},
        heap="256K",  # of a 64-bit MicroPython that compiles the sources
    )
    for report in outcome.reports:
        assert (report.kind, report.bytes, report.sum) == (None, 300_000, 300_000 * 120)
        assert report.grown_bytes < 4096
    assert outcome.site.connections == 1


def test_read_gives_what_was_asked_for_and_a_response_that_is_left_costs_its_connection(play: Play) -> None:
    outcome = play(
        lambda _: Reply(body=b"0123456789"),
        {"url": "/", "take": 4},
        {"url": "/", "take": 10},
        {"url": "/", "take": 11},
        {"url": "/", "take": "abandon"},
        {"url": "/", "take": "read"},
    )
    assert [report.text for report in outcome.reports] == ["0123", "0123456789", "0123456789", "", "0123456789"]
    assert [request.connection for request in outcome.site.requests] == [1, 2, 2, 2, 3]


def test_a_connection_is_kept_only_if_the_server_agrees(play: Play) -> None:
    replies = {
        "/close": Reply(body=b"a", headers={"Connection": "close"}),
        "/old": Raw(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na", "keep"),
        "/endless": Raw(b"HTTP/1.1 200 OK\r\n\r\na"),
    }
    outcome = play(lambda request: replies[request.target], "/close", "/old", "/endless", "/close")
    assert outcome.kinds() == [None] * 4
    assert outcome.site.connections == 4
    assert outcome.left_idle == 0


def test_nothing_is_kept_if_the_application_says_so(play: Play) -> None:
    outcome = play(echo, "/", "/", keep=0)
    assert outcome.site.connections == 2
    assert outcome.left_idle == 0
    assert {request.headers["connection"] for request in outcome.site.requests} == {"close"}


def test_as_many_connections_are_kept_as_the_application_says(play: Play) -> None:
    steps = ["{0}/", "{1}/", "{0}/", "{1}/"]
    outcome = play(echo, *steps, sites=2)
    assert outcome.site.connections == 2, "one for both origins together"
    assert outcome.left_idle == 1
    outcome = play(echo, *steps, sites=2, keep=2)
    assert outcome.site.connections == 1
    assert outcome.left_idle == 2


def test_a_connection_that_the_server_closed_is_not_used_even_for_post(play: Play) -> None:
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    for then in ("end", "cut"):
        post = {"method": "POST", "url": "/", "send": {"text": "x"}, "pause_ms": 100}
        outcome = play(lambda _, then=then: Raw(ok, then), post, post, post)
        assert outcome.kinds() == [None] * 3
        assert outcome.site.connections == 3
        assert len(outcome.site.requests) == 3, "nothing may be sent twice"


def dies_on_reuse(request: Request) -> Reply | Raw:
    """Answers the first request of a connection and ends without a word at the second."""
    seen = dies_on_reuse.seen  # type: ignore[attr-defined]
    seen.append(request.connection)
    return Raw(b"", "cut") if seen.count(request.connection) > 1 else Reply(body=b"ok")


@pytest.mark.parametrize(
    ("step", "again"),
    [
        ({"method": "GET"}, True),
        ({"method": "HEAD"}, True),
        ({"method": "PUT", "send": {"text": "x"}}, True),
        ({"method": "PUT", "send": {"list": [3, 4]}}, True),
        ({"method": "DELETE"}, True),
        ({"method": "PUT", "send": {"chunks": [3, 4]}}, False),
        ({"method": "POST", "send": {"text": "x"}}, False),
        ({"method": "PATCH", "send": {"text": "x"}}, False),
    ],
)
def test_only_what_may_happen_twice_is_repeated_when_a_kept_connection_dies(
    play: Play,
    step: dict[str, object],
    again: bool,
) -> None:
    dies_on_reuse.seen = []  # type: ignore[attr-defined]
    outcome = play(dies_on_reuse, "/", {**step, "url": "/"})
    assert (outcome.reports[1].kind is None) is again
    if not again:
        assert outcome.reports[1].kind in ("TruncationError", "ConnectError")
    assert [request.connection for request in outcome.site.requests] == ([1, 1, 2] if again else [1, 1])
    assert not again or outcome.site.requests[1].body == outcome.site.requests[2].body


def test_a_request_is_repeated_once_and_never_on_a_fresh_connection(play: Play) -> None:
    answers = iter([Reply(body=b"ok"), Raw(b"", "cut"), Raw(b"", "cut"), Reply(body=b"ok")])
    outcome = play(lambda _: next(answers), "/", "/")
    assert outcome.kinds() == [None, "TruncationError"]
    assert [request.connection for request in outcome.site.requests] == [1, 1, 2]


def test_a_response_that_has_begun_is_never_asked_for_again(play: Play) -> None:
    answers = iter([Reply(body=b"ok"), Raw(b"HTTP/1.1 200 OK\r\n", "cut"), Reply(body=b"ok")])
    outcome = play(lambda _: next(answers), "/", "/")
    assert outcome.kinds() == [None, "TruncationError"]
    assert len(outcome.site.requests) == 2


def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(play: Play) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    right = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright"
    outcome = play(lambda _: Raw(right + poison, "keep"), "/", {"url": "/", "pause_ms": 50}, "/")
    assert [report.text for report in outcome.reports] == ["right"] * 3
    assert outcome.site.connections == 3


def test_credentials_arrive_and_are_not_kept_for_the_next_request(play_blocking: Play) -> None:
    outcome = play_blocking(
        echo,
        {"url": "/", "auth": ["Aladdin", "open sesame"]},
        {"url": "/", "bearer": "abc.def"},
        {"url": "/", "headers": {"X-Other": "1"}},
        headers={"X-Board": "7"},
    )
    sent = [request.headers for request in outcome.site.requests]
    assert sent[0]["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617, 2
    assert sent[1]["authorization"] == "Bearer abc.def"
    assert "authorization" not in sent[2]
    assert [each["x-board"] for each in sent] == ["7"] * 3
    assert sent[2]["x-other"] == "1"


@pytest.mark.parametrize(
    "step",
    [
        {"headers": {"A": "b\r\nX: y"}},
        {"headers": {"A\r\nX": "y"}},
        {"headers": {"A:": "y"}},
        {"headers": {"": "y"}},
        {"headers": {"A": "b\x00"}},
        {"headers": {"Host": "other"}},
        {"headers": {"Content-Length": "3"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"bearer": "a\nX: y"},
        {"auth": ["a:b", "c"]},
        {"method": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET"},
        {"method": "Get it"},
        {"url": "/a b"},
        {"url": "/a\r\nX: y"},
        {"url": "https://a\r\nX: y/"},
        {"url": "https://user@a/"},
        {"url": "http://a/"},
        {"url": "ftp://a/"},
        {"sha256": "12"},
    ],
    ids=str,
)
def test_what_would_break_the_request_is_refused_before_dialling(
    play_blocking: Play,
    step: dict[str, object],
) -> None:
    outcome = play_blocking(echo, {"url": "/", **step})
    assert outcome.only.kind == "ConfigError"
    assert outcome.site.connections == 0


@pytest.mark.needs("tls1.3")
@pytest.mark.parametrize("asynchronous", [False, True], ids=["blocking", "asyncio"])
def test_connections_of_tls_1_3_are_kept_too(asynchronous: bool, root: pki.Authority, cafile: Path) -> None:
    with https_site(root.issue(HOST), echo) as site:
        url = f"https://{HOST}:{site.port}/"
        steps = [
            {"url": url},
            {"url": url, "method": "POST", "send": {"chunks": [3, 5000]}},
            {"url": url, "take": "into", "pause_ms": 20},
        ]
        reports, left_idle = run_steps(
            steps,
            cafile,
            asynchronous=asynchronous,
            address="127.0.0.1",
        )
    assert [(report.kind, report.bytes) for report in reports] == [(None, 12), (None, 19), (None, 12)]
    assert {request.connection for request in site.requests} == {site.connections}, "all over the last connection"
    assert left_idle == 1
