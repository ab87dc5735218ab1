"""rootlet.names: host names and what covers them."""

from make import raises
from rootlet.names import address, matches, normalise


def covers(pattern, host):
    if isinstance(pattern, str):
        pattern = pattern.encode()
    return matches(b"<" + pattern + b">", 1, 1 + len(pattern), host.encode())


def test_names_are_brought_into_one_form():
    assert normalise("Example.ORG.") == "example.org"
    assert normalise("localhost") == "localhost"
    assert normalise("my_board.local") == "my_board.local"
    assert normalise("xn--bcher-kva.example") == "xn--bcher-kva.example"
    assert normalise("1and1.de") == "1and1.de"
    assert normalise("[2001:DB8::1]") == "2001:db8::1"
    assert normalise("192.0.2.1") == "192.0.2.1"


def test_an_internationalized_name_is_refused_with_the_remedy():
    for name in ("bücher.example", "例え.jp", "exampl\u0435.org"):
        assert "xn--" in str(raises(ValueError, normalise, name))


def test_what_is_no_host_name_is_refused():
    for name in (
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a b",
        "a/b",
        "a\0b",
        "a\n",
        "*.example.org",
        "-a.example",
        "a-.example",
        "user@host",
        "host:443",
        "a" * 64 + ".example",
        ".".join(["a" * 49] * 6),
        "[example.org]",
        "[192.0.2.1]",
        "[]",
    ):
        raises(ValueError, normalise, name)
    raises(ValueError, normalise, None)
    raises(ValueError, normalise, b"example.org")
    assert normalise("a" * 63 + ".example")


def test_a_name_may_have_253_letters():
    longest = ".".join(["a" * 49] * 5 + ["abc"])
    assert len(longest) == 253
    assert normalise(longest) == normalise(longest + ".") == longest
    raises(ValueError, normalise, longest + "d")


def test_addresses():
    for text, octets in (
        ("192.0.2.1", b"\xc0\0\x02\x01"),
        ("0.0.0.0", bytes(4)),
        ("255.255.255.255", b"\xff" * 4),
        ("::", bytes(16)),
        ("::1", bytes(15) + b"\1"),
        ("1::", b"\0\1" + bytes(14)),
        ("2001:db8::8a2e:370:7334", b"\x20\x01\x0d\xb8" + bytes(6) + b"\x8a\x2e\x03\x70\x73\x34"),
        ("2001:db8:0:0:1:0:0:1", b"\x20\x01\x0d\xb8" + bytes(4) + b"\0\1" + bytes(5) + b"\1"),
        ("1:2:3:4:5:6:7:8", b"\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\x08"),
        ("1:2:3:4:5:6:7::", b"\0\1\0\2\0\3\0\4\0\5\0\6\0\7\0\0"),
        ("::ffff:192.0.2.1", bytes(10) + b"\xff\xff\xc0\0\2\1"),
        ("64:ff9b::192.0.2.33", b"\0\x64\xff\x9b" + bytes(8) + b"\xc0\0\2\x21"),
        ("1:2:3:4:5:6:192.0.2.1", b"\0\1\0\2\0\3\0\4\0\5\0\6\xc0\0\2\1"),
        ("2001:db8::0001", b"\x20\x01\x0d\xb8" + bytes(11) + b"\1"),
    ):
        assert address(text) == octets, text
    for text in ("example.org", "localhost", "a.1a", "1.2.3.4a", "xn--p1ai", "deadbeef"):
        assert address(text) is None


def test_what_looks_like_an_address_and_is_none_is_refused():
    for text in (
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.04",
        "1..2.3",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "1.2.3.0x4",
        "example.1",
        "1:2",
        ":::",
        "::1::",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "12345::",
        "g::",
        "::%eth0",
        "fe80::1%1",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "1::2::3",
        "::0x1",
        "::-1",
        "::+1",
        "1:2:3:4:5:6:7:1.2.3.4",
    ):
        raises(ValueError, normalise, text)


def test_a_name_covers_itself_in_any_case():
    assert covers("example.org", "example.org")
    assert covers("EXAMPLE.oRg", "example.org")
    assert covers("localhost", "localhost")
    for pattern in (
        "example.com",
        "example.or",
        "xample.org",
        "www.example.org",
        "",
        ".",
        "example.org.",
        "example.org\0",
    ):
        assert not covers(pattern, "example.org"), pattern


def test_a_wildcard_covers_exactly_one_label():
    assert covers("*.example.org", "www.example.org")
    assert covers("*.EXAMPLE.org", "www.example.org")
    assert covers("*.example.org", "xn--bcher-kva.example.org")
    assert covers("*.example.org", "a.example.org")
    for host in ("example.org", "a.b.example.org", "example.com", "org", "badexample.org"):
        assert not covers("*.example.org", host), host


def test_a_wildcard_must_be_the_whole_left_most_label_of_three():
    for pattern, host in (
        ("*.org", "example.org"),
        ("*", "localhost"),
        ("*.", "localhost"),
        ("*", "example.org"),
        ("*.*", "example.org"),
        ("*.*.org", "www.example.org"),
        ("w*.example.org", "www.example.org"),
        ("*w.example.org", "www.example.org"),
        ("www.*.org", "www.example.org"),
        ("xn--*.example.org", "xn--a.example.org"),
        ("*.local", "board.local"),
    ):
        assert not covers(pattern, host), pattern


def test_bytes_that_are_no_text_cover_nothing():
    assert not covers(b"\xff\xfe\xfd.example.org", "aaa.example.org")
    assert not covers(b"*.\xffxample.org", "www.example.org")


def test_a_wildcard_covers_no_address():
    # Mbed TLS accepts this; rootlet asks for an iPAddress before it looks at names.
    assert not covers("*.0.0.1", "127.0.0.2")
