"""rootlet.web.message: what is no request is refused before anybody is dialled."""

from make import raises
from rootlet.errors import ConfigError
from rootlet.web.message import Message

URL = "https://a.example/x"


def lines(*arguments, **options):
    message = Message(*arguments, **options)
    return str(message.head("identity", True), "ascii").split("\r\n")


def test_what_is_no_method_is_refused():
    for method in ("GET", "PATCH", "PROPFIND"):
        assert lines(method, URL)[0] == method + " /x HTTP/1.1"
    # CONNECT would make a tunnel of the connection.
    for method in ("", "get", "GET /", "GET\r\nHost: evil", "G\xc9T", "CONNECT", None, b"GET", 7):
        raises(ConfigError, Message, method, URL)


def test_a_host_is_named_with_its_port_unless_that_is_the_usual_one():
    for url, host in (
        ("https://a.example:443/", "a.example"),
        ("https://a.example:8443/", "a.example:8443"),
        ("http://a.example/", "a.example"),
        ("http://a.example:443/", "a.example:443"),
        ("https://[2001:db8::1]/", "[2001:db8::1]"),
    ):
        assert lines("GET", url)[1] == "Host: " + host


def test_credentials_take_the_place_of_others_and_are_checked():
    fields = lines("GET", URL, headers={"authorization": "Basic eA==", "A": "b"}, bearer="t0ken")
    assert [field for field in fields if field.lower()[:5] == "autho"] == ["Authorization: Bearer t0ken"]
    assert "Authorization: Basic dXNlcjpwYTpzcw==" in lines("GET", URL, auth=("user", "pa:ss"))
    for options in (
        {"auth": ("us:er", "x")},  # a colon ends the name (RFC 7617, 2)
        {"auth": ("user", None)},
        {"auth": "user:x"},
        {"bearer": "a\r\nHost: evil"},
        {"bearer": 7},
    ):
        raises(ConfigError, lambda options=options: Message("GET", URL, **options))


def test_the_length_of_a_body_is_said_or_it_comes_in_chunks():
    for method, options, field in (
        ("GET", {}, None),
        ("POST", {}, "Content-Length: 0"),
        ("POST", {"body": "h\xe9"}, "Content-Length: 3"),
        ("POST", {"json": [1]}, "Content-Length: 3"),
        ("POST", {"body": [b"a", b"bc"]}, "Transfer-Encoding: chunked"),
        ("POST", {"body": [b"a", b"bc"], "length": 3}, "Content-Length: 3"),
    ):
        found = [line for line in lines(method, URL, **options) if line[:14] in ("Content-Length", "Transfer-Encod")]
        assert found == ([] if field is None else [field]), (method, options, found)
    for options in ({"body": 5}, {"body": {"a": "b"}}, {"length": -1}, {"length": "3"}):
        raises(ConfigError, lambda options=options: Message("POST", URL, **options))
