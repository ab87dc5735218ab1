"""rootlet.http: requests byte for byte, and responses however they are framed, cut or broken."""

import rootlet
from make import raises
from rootlet import http
from rootlet.errors import ConfigError, HTTPError, TruncationError
from rootlet.http import Response, get, split_url


class Connection:
    """A connection whose server sends `data` and then ends: properly, or not."""

    def __init__(self, data, proper=True):
        self.data = data
        self.at = 0
        self.proper = proper
        self.closed = False
        self.asked = 0
        self.written = b""
        self.deadline_ms = None

    def set_deadline(self, timeout_ms):
        assert not self.closed, "a deadline after close"
        self.deadline_ms = timeout_ms

    def _take(self, n):
        assert not self.closed, "read after close"
        self.asked = max(self.asked, n)
        taken = self.data[self.at : self.at + n]
        self.at += len(taken)
        if len(taken) < n and not self.proper:
            self.close()
            raise TruncationError("no close_notify")
        return taken

    def readline(self, limit=-1):
        end = self.data.find(b"\n", self.at) + 1
        n = (end or len(self.data) + 1) - self.at
        return self._take(min(n, limit) if limit >= 0 else n)

    def readinto(self, buffer, n=None):
        taken = self._take(len(buffer) if n is None else n)
        buffer[: len(taken)] = taken
        return len(taken)

    def write(self, data):
        self.written += data
        return len(data)

    def close(self):
        self.closed = True


def response(text, body=b"", **options):
    """The Response to a head that is given line by line."""
    head = "\r\n".join(text.split("\n")) + "\r\n\r\n"
    return Response(Connection(head.encode() + body, **options))


def refused(kind, data, **options):
    """The error of reading all of a response; whatever it is, the connection is closed."""
    connection = Connection(data, **options)
    error = raises(kind, lambda: Response(connection).read())
    assert connection.closed
    assert error.message and error.remedy
    return error


OK = b"HTTP/1.1 200 OK\r\n"


def test_reads_status_reason_and_headers():
    r = response("HTTP/1.1 404 Not  Found\nServer: x\nX-Thing:  a b \nSet-Cookie: a\nset-cookie: b\nContent-Length: 0")
    assert (r.status, r.reason) == (404, "Not  Found")
    assert r.headers == {"server": "x", "x-thing": "a b", "set-cookie": "a, b", "content-length": "0"}
    assert r.read() == b""


def test_a_status_line_may_have_no_reason_and_lines_may_end_in_lf():
    r = Response(Connection(b"HTTP/1.0 200\nA: b\n\nbody"))
    assert (r.status, r.reason, r.headers) == (200, "", {"a": "b"})
    assert r.read() == b"body"


def test_what_is_no_status_line_is_refused():
    for line in (
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.1  200 OK\r\n",
        b"HTTP/1.1 20\r\n",
        b"HTTP/1.1 2OO OK\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 -20 OK\r\n",
        b"\r\n",
        b"<html>\r\n",
    ):
        refused(HTTPError, line + b"\r\n")


def test_a_body_ends_where_content_length_says():
    connection = Connection(OK + b"Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n")
    r = Response(connection)
    assert r.read() == b"hello"
    assert r.read() == b""
    assert r.readinto(bytearray(9)) == 0
    assert connection.at == len(OK) + 26, "nothing behind the body may be read"


def test_a_body_is_read_in_the_callers_buffer_and_never_ahead():
    connection = Connection(OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 100000)
    r = Response(connection)
    buffer = bytearray(64)
    n = 0
    while True:
        got = r.readinto(buffer)
        if not got:
            break
        n += got
    assert n == 100000
    assert connection.asked <= 128


def test_read_returns_what_was_asked_for():
    r = response("HTTP/1.1 200 OK\nContent-Length: 2000", bytes(2000))
    assert len(r.read(0)) == 0
    assert len(r.read(700)) == 700
    assert len(r.read(2000)) == 1300
    assert r.read(1) == b""


def test_a_body_without_length_ends_with_the_connection():
    assert Response(Connection(b"HTTP/1.0 200 OK\r\n\r\nall of this")).read() == b"all of this"


def test_a_body_without_length_that_ends_without_close_notify_is_truncated():
    r = Response(Connection(b"HTTP/1.0 200 OK\r\n\r\nall of", proper=False))
    raises(TruncationError, r.read)


def test_a_body_shorter_than_its_length_is_truncated_even_after_close_notify():
    for proper in (True, False):
        refused(TruncationError, OK + b"Content-Length: 6\r\n\r\nhello", proper=proper)


def test_the_end_of_the_connection_anywhere_in_the_head_is_a_truncation():
    head = OK + b"Content-Length: 5\r\nServer: x\r\n\r\n"
    for n in range(len(head)):
        refused(TruncationError, head[:n])
        refused(TruncationError, head[:n], proper=False)


def test_responses_that_have_no_body():
    for status in (204, 304):
        connection = Connection(b"HTTP/1.1 %d x\r\nContent-Length: 9\r\n\r\nnot a body" % status)
        assert Response(connection).read() == b""
    assert Response(Connection(OK + b"Content-Length: 9\r\n\r\n"), "HEAD").read() == b""


def test_interim_responses_are_passed_over():
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        + OK
        + b"Content-Length: 2\r\n\r\nok"
    )
    r = Response(Connection(data))
    assert r.status == 200
    assert r.headers == {"content-length": "2"}
    assert r.read() == b"ok"


def test_interim_responses_without_end_are_refused():
    refused(HTTPError, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def test_lengths_that_are_none_are_refused():
    for value in (
        b"",
        b"-1",
        b"+5",
        b"5 5",
        b"5, 5",
        b"0x5",
        b"5.0",
        b"five",
        b"1e3",
        b"1" * 16,
        b"9" * 400,
        b"5;",
    ):
        refused(HTTPError, OK + b"Content-Length: " + value + b"\r\n\r\nhello")


def test_two_ways_to_say_the_length_are_refused_unless_they_agree():
    for first, second in (
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5", b"content-length: 05"),
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    ):
        refused(HTTPError, OK + first + b"\r\n" + second + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert Response(Connection(OK + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello")).read() == b"hello"


def test_transfer_codings_that_nobody_asked_for_are_refused():
    for coding in (b"gzip", b"gzip, chunked", b"chunked, gzip", b"identity", b"xchunked", b"chunked;q=1", b""):
        refused(HTTPError, OK + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n")


def test_malformed_header_lines_are_refused():
    for line in (b"no colon", b": no name", b"Space : x", b" Folded: x", b"\tFolded: x", b" ", b"A: b\rC: d", b"A: \0"):
        refused(HTTPError, OK + b"A: b\r\n" + line + b"\r\n\r\n")


def test_a_header_of_a_hundred_kilobytes_is_refused_without_reading_it():
    for head in (b"A: " + b"x" * 100_000 + b"\r\n", b"A: bcdefgh\r\n" * 9000):
        connection = Connection(OK + head + b"\r\n")
        raises(HTTPError, Response, connection)
        assert connection.at < 20000
        assert connection.closed


def test_a_head_of_very_many_fields_is_refused_although_it_is_short():
    # In a dict of a board each takes ten times what it takes on the wire.
    fields = [b"%x:\r\n" % i for i in range(2000)]
    assert len(b"".join(fields)) < 12_000
    refused(HTTPError, OK + b"".join(fields) + b"\r\n")
    assert len(Response(Connection(OK + b"".join(fields[:100]) + b"\r\n")).headers) == 100


def test_header_lines_up_to_the_limit_are_read():
    assert len(Response(Connection(OK + b"A: " + b"x" * 4000 + b"\r\n\r\n")).headers["a"]) == 4000


def test_header_values_that_are_not_utf8_are_read_as_latin1():
    assert Response(Connection(OK + b"A: \xe9\r\n\r\n")).headers["a"] == "\xe9"


def chunked(*parts, **options):
    return Connection(OK + b"Transfer-Encoding: Chunked\r\n\r\n" + b"".join(parts), **options)


def test_chunks_are_joined():
    parts = (b"5\r\nhello\r\n", b"1;name=value\r\n \r\n", b'00A;x="y" \r\n0123456789\r\n', b"0\r\n\r\n")
    assert Response(chunked(*parts)).read() == b"hello 0123456789"
    r = Response(chunked(*parts))
    buffer = bytearray(3)
    body = b""
    while True:
        n = r.readinto(buffer)
        if not n:
            break
        body += buffer[:n]
    assert body == b"hello 0123456789"
    assert r.readinto(buffer) == 0


def test_trailer_fields_are_passed_over():
    connection = chunked(b"2\r\nok\r\n0\r\nDigest: x\r\nB: y\r\n\r\nbehind")
    assert Response(connection).read() == b"ok"
    assert connection.data[connection.at :] == b"behind"


def test_trailer_fields_and_extensions_without_end_are_refused():
    for endless in (b"1;" + b"x" * 100000, b"0\r\n" + b"A: bcdef\r\n" * 10000):
        connection = chunked(endless)
        r = Response(connection)
        raises(HTTPError, r.read)
        assert connection.at < 40000 and connection.closed


def test_chunks_with_an_extension_each_do_not_add_up_to_the_limit():
    assert len(Response(chunked(*[b"1;" + b"e" * 100 + b"\r\nx\r\n"] * 1000, b"0\r\n\r\n")).read()) == 1000


def test_chunk_lengths_that_are_none_are_refused():
    for size in (b"", b"-1", b"+1", b"0x1", b"g", b"1_0", b"1 0", b"123456789", b"\xb2", b";x"):
        connection = chunked(size + b"\r\nx\r\n0\r\n\r\n")
        raises(HTTPError, Response(connection).read)
        assert connection.closed


def test_a_chunk_that_is_longer_than_it_says_is_refused():
    connection = chunked(b"2\r\nabc\r\n0\r\n\r\n")
    raises(HTTPError, Response(connection).read)
    assert connection.closed


def test_the_end_of_the_connection_anywhere_in_a_chunked_body_is_a_truncation():
    body = b"5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"
    for n in range(len(body)):
        for proper in (True, False):
            connection = chunked(body[:n], proper=proper)
            raises(TruncationError, Response(connection).read)
            assert connection.closed


def test_a_response_closes_its_connection():
    connection = Connection(OK + b"Content-Length: 5\r\n\r\nhello")
    with Response(connection) as r:
        assert r.read(2) == b"he"
    assert connection.closed


class Sent:
    """Stands for rootlet.connect and keeps what it was called with."""

    def __init__(self, data=OK + b"Content-Length: 0\r\n\r\n"):
        self.connection = Connection(data)
        self.arguments = None

    def __call__(self, *arguments):
        self.arguments = arguments
        return self.connection

    def get(self, url, headers=None):
        real = rootlet.connect
        rootlet.connect = self
        try:
            return get(url, "context", headers)
        finally:
            rootlet.connect = real


def test_the_request_byte_for_byte():
    sent = Sent()
    sent.get("https://example.org/a?b=c#part", headers={"Accept": "text/plain", "X-Number": 7})
    expected = (
        b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\nAccept: text/plain\r\nX-Number: 7\r\n\r\n"
    )
    # A dict keeps no order on MicroPython.
    assert sorted(sent.connection.written.split(b"\r\n")) == sorted(expected.split(b"\r\n"))
    assert sent.connection.written.startswith(b"GET /a?b=c HTTP/1.1\r\n") and sent.connection.written.endswith(
        b"\r\n\r\n"
    )
    assert sent.arguments[:5] == ("example.org", 443, "context", None, None)
    assert sent.connection.deadline_ms == 10_000


def test_a_response_that_is_closed_at_its_end_stays_readable():
    sent = Sent(OK + b"Content-Length: 2\r\n\r\nok")
    response = sent.get("https://example.org/")
    assert response.read() == b"ok"
    response.close()
    assert response.read() == b""


def test_another_port_is_part_of_the_host_and_an_ipv6_address_stands_in_brackets():
    for url, host, port, field in (
        ("https://example.org:8443/", "example.org", 8443, b"Host: example.org:8443\r\n"),
        ("https://[::1]/", "::1", 443, b"Host: [::1]\r\n"),
        ("https://[::1]:444/", "::1", 444, b"Host: [::1]:444\r\n"),
        ("HTTPS://example.org", "example.org", 443, b"Host: example.org\r\n"),
    ):
        sent = Sent()
        sent.get(url)
        assert sent.arguments[:2] == (host, port)
        assert field in sent.connection.written


def test_header_fields_that_would_break_the_request_are_refused_before_connecting():
    for name, value in (
        ("X", "a\r\nHost: evil"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "a\x7fb"),
        ("X\x7f", "a"),
        ("X\r\nHost", "a"),
        ("X Y", "a"),
        ("X:", "a"),
        ("X\t", "a"),
        ("", "a"),
        ("\xe4", "a"),
        ("Host", "evil"),
        ("CONNECTION", "keep-alive"),
        ("Content-Length", "5"),
        ("Transfer-Encoding", "chunked"),
    ):
        sent = Sent()
        error = raises(ConfigError, sent.get, "https://a.example/", {name: value})
        assert "\r" not in error.message and "\n" not in error.message
        assert sent.arguments is None


def test_a_broken_answer_closes_the_connection():
    for data in (b"nonsense\r\n", b"HTTP/1.1 200"):
        sent = Sent(data)
        raises((HTTPError, TruncationError), sent.get, "https://a.example/")
        assert sent.connection.closed


def test_urls():
    for url, parts in (
        ("https://a.example", ("a.example", 443, "/")),
        ("https://a.example?x", ("a.example", 443, "/?x")),
        ("https://a.example#x", ("a.example", 443, "/")),
        ("https://a.example/%20?a=b:c@d#e", ("a.example", 443, "/%20?a=b:c@d")),
        ("https://a.example:65535/", ("a.example", 65535, "/")),
    ):
        assert split_url(url) == parts


def test_urls_that_are_refused():
    for url in (
        "",
        "https://",
        "https:///path",
        "a.example/x",
        "http://a.example/",
        "ftp://a.example/",
        "https://user@a.example/",
        "https://user:password@a.example/",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:/",
        "https://a.example:+1/",
        "https://a.example:x/",
        "https://a.example/a b",
        "https://a.example/\r\nX: y",
        "https://a.example/\xe4",
        "https://a.example/\x7f",
    ):
        raises(ConfigError, split_url, url)


def test_the_limits_are_what_they_are_documented_to_be():
    if hasattr(http, "_MAX_LINE"):  # MicroPython compiles constants away
        assert (http._MAX_LINE, http._MAX_HEAD) == (4096, 16384)
