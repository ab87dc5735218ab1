"""Where rootlet.http.Client follows redirects, and where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from support.http_client import Outcome
from support.http_server import Raw, Reply, Request

Play = Callable[..., Outcome]
POST = {"method": "POST", "url": "/from", "send": {"text": "body"}, "headers": {"Content-Type": "text/x"}}


def leads(to: str, status: int = 302) -> Callable[[Request], Reply]:
    def application(request: Request) -> Reply:
        if request.target.startswith("/from"):
            return Reply(status, b"moved", {"Location": to})
        return Reply(body=f"{request.method} {request.target} {len(request.body)}".encode())

    return application


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET /to 0"),
        (302, "GET", "GET /to 0"),
        (303, "GET", "GET /to 0"),
        (307, "GET", "GET /to 0"),
        (308, "GET", "GET /to 0"),
        (301, "POST", "GET /to 0"),
        (302, "POST", "GET /to 0"),
        (303, "POST", "GET /to 0"),
        (307, "POST", "POST /to 4"),
        (308, "POST", "POST /to 4"),
        (302, "PUT", "PUT /to 4"),
        (303, "PUT", "GET /to 0"),
    ],
)
def test_a_redirect_changes_the_method_as_rfc_9110_says(
    play_blocking: Play, status: int, method: str, then: str
) -> None:
    step = {"url": "/from"} if method == "GET" else {**POST, "method": method}
    outcome = play_blocking(leads("/to", status), step)
    assert outcome.only.text == then
    assert outcome.only.url.endswith("/to")
    assert outcome.site.connections == 1, "the short body of the redirect is no reason for a new connection"
    assert ("content-type" in outcome.site.requests[1].headers) is (then[:3] != "GET")


def test_head_stays_head(play: Play) -> None:
    outcome = play(leads("/to", 303), {"method": "HEAD", "url": "/from"})
    assert [request.method for request in outcome.site.requests] == ["HEAD", "HEAD"]


@pytest.mark.parametrize(
    ("base", "location", "target"),
    [
        ("/from/a/b?q", "/x?y=1#f", "/x?y=1"),
        ("/from/a/b?q=/z", "c", "/from/a/c"),
        ("/from/a/b", "../c", "/from/c"),
        ("/from/a/b", "../../../../c", "/c"),
        ("/from/a/b", "./c/./d", "/from/a/c/d"),
        ("/from/a/b", "x/./../c", "/from/a/c"),
        ("/from/a/b", "?x", "/from/a/b?x"),
        ("/from", "to", "/to"),
        ("/from", "//{host}/x", "/x"),
        ("/from", "https://{host}", "/"),
        ("/from", "HTTPS://{host}/x", "/x"),
    ],
)
def test_location_is_resolved_against_the_url(play_blocking: Play, base: str, location: str, target: str) -> None:
    seen = []

    def application(request: Request) -> Reply:
        seen.append(request.target)
        if len(seen) > 1:
            return Reply(body=b"there")
        return Reply(302, b"", {"Location": location.replace("{host}", request.headers["host"])})

    assert play_blocking(application, base).only.text == "there"
    assert seen == [base, target]


@pytest.mark.parametrize(
    "location",
    [
        "http://board.example.org/",
        "ftp://board.example.org/",
        "javascript:alert(1)",
        "/a b",
        "/\u00fc",
        "https://u:p@a/",
    ],
)
def test_a_redirect_to_anything_but_https_is_refused(play_blocking: Play, location: str) -> None:
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    outcome = play_blocking(lambda _: Raw(answer, "keep"), "/", allow_http=True)
    assert outcome.only.kind == "HTTPError"
    assert len(outcome.site.requests) == 1


def test_redirects_are_followed_up_to_the_limit(play: Play) -> None:
    outcome = play(leads("/from"), "/from")
    assert outcome.only.kind == "HTTPError"
    assert len(outcome.site.requests) == 6
    outcome = play(leads("/from"), "/from", max_redirects=0)
    assert len(outcome.site.requests) == 1


def test_a_redirect_without_location_and_other_3xx_are_responses(play_blocking: Play) -> None:
    outcome = play_blocking(lambda request: Reply(int(request.target[1:]), b""), "/302", "/304", "/300")
    assert [report.status for report in outcome.reports] == [302, 304, 300]


def test_secrets_stay_with_the_origin_they_are_for(play: Play) -> None:
    step = {"url": "/from", "auth": ["user", "password"], "headers": {"Cookie": "a=b"}}
    outcome = play(leads("/to"), step)
    assert outcome.site.requests[1].headers["authorization"].startswith("Basic ")
    assert outcome.site.requests[1].headers["cookie"] == "a=b"


@pytest.mark.parametrize("status", [302, 307])
def test_secrets_are_dropped_on_the_way_to_another_origin(play: Play, status: int) -> None:
    def application(request: Request) -> Reply:
        target, _, origin = request.target.partition("?")
        return Reply(status, b"", {"Location": origin + "/there"}) if target == "/away" else Reply(body=b"ok")

    outcome = play(
        application,
        {
            "url": "{0}/away?{1}",
            "bearer": "token",
            "headers": {"cookie": "a=b", "Proxy-Authorization": "x", "X-Other": "c"},
        },
        sites=2,
    )
    assert outcome.only.text == "ok"
    assert outcome.site.requests[0].headers["authorization"] == "Bearer token"
    (other,) = outcome.site.others
    assert other.requests[0].headers["x-other"] == "c"
    assert not {"authorization", "cookie", "proxy-authorization"} & other.requests[0].headers.keys()


def test_a_body_that_cannot_be_sent_again_is_not_redirected(play: Play) -> None:
    outcome = play(leads("/to", 307), {"method": "PUT", "url": "/from", "send": {"chunks": [3]}})
    assert outcome.only.kind == "HTTPError"
    assert len(outcome.site.requests) == 1


def test_the_deadline_is_for_all_redirects_together(play: Play) -> None:
    def application(request: Request) -> Reply:
        time.sleep(0.2)
        return Reply(302, b"", {"Location": "/again"})

    outcome = play(application, {"url": "/", "timeout_ms": 700}, max_redirects=100, breaks_off=True)
    assert outcome.only.kind == "DeadlineError"
    assert 650 < outcome.only.elapsed_ms < 1500


def test_a_long_body_of_a_redirect_is_not_read(play: Play) -> None:
    def application(request: Request) -> Reply:
        if request.target == "/to":
            return Reply(body=b"ok")
        return Reply(302, [b"x" * 1000] * 500, {"Location": "/to"})

    outcome = play(application, "/from")
    assert outcome.only.text == "ok"
    assert outcome.site.connections == 2


def test_limit_and_coding_of_a_redirects_own_body_do_not_matter(play: Play) -> None:
    def application(request: Request) -> Reply:
        if request.target == "/to":
            return Reply(body=b"ok")
        return Reply(302, b"x" * 300, {"Location": "/to", "Content-Encoding": "br"})

    outcome = play(application, {"url": "/from", "max_bytes": 10})
    assert outcome.only.text == "ok"
    assert outcome.site.connections == 1


def test_the_limit_holds_for_what_looks_like_a_redirect_and_is_not_followed(play: Play) -> None:
    outcome = play(lambda _: Reply(300, b"x" * 300, {"Location": "/to"}), {"url": "/from", "max_bytes": 10})
    assert outcome.only.kind == "HTTPError"
