"""rootlet.der: reading tag-length-values and times."""

from make import from_hex, generalized, raises, tlv, utc
from rootlet.der import DerError, Reader


def time_of(der):
    return Reader(der).time(0, len(der))


def test_reads_tag_and_bounds_of_short_and_long_values():
    for size in (0, 1, 127, 128, 255, 256, 65535):
        der = tlv(0x04, bytes(size))
        reader = Reader(memoryview(der))
        assert reader.read(0, len(der)) == 0x04
        assert (reader.end - reader.start, reader.end) == (size, len(der))


def test_enter_returns_where_the_value_begins_and_checks_the_tag():
    reader = Reader(tlv(0x30, tlv(0x02, b"\x05")))
    assert reader.enter(0x30, 0, 5) == 2
    assert reader.enter(0x02, 2, reader.end) == 4
    raises(DerError, reader.enter, 0x03, 2, 5)


def test_refuses_every_truncation():
    der = tlv(0x30, bytes(300))
    for n in range(len(der)):
        raises(DerError, Reader(der[:n]).read, 0, n)


def test_a_value_never_leaves_its_bounds_even_if_the_data_goes_on():
    der = tlv(0x30, bytes(200)) + bytes(400)
    for limit in range(len(der) - 400):
        raises(DerError, Reader(der).read, 0, limit)


def test_refuses_what_ber_allows_and_der_does_not():
    for text in (
        "30 80 00 00",  # indefinite length
        "04 81 01 00",  # a short length written long
        "04 82 00 01 00",
        "1f 01 00",  # a tag number of more than one byte
        "3f 81 80",
        "04 83 01 00 00",  # 64 KB
        "04 ff",
    ):
        der = from_hex(text) + bytes(70000)
        raises(DerError, Reader(der).read, 0, len(der))
    der = from_hex("04 81 7f") + bytes(127)
    raises(DerError, Reader(der).read, 0, len(der))
    der = from_hex("04 82 00 ff") + bytes(255)
    raises(DerError, Reader(der).read, 0, len(der))


def test_reads_nothing_before_the_limit_or_behind_it():
    reader = Reader(bytes(4))
    raises(DerError, reader.read, 4, 4)
    raises(DerError, reader.read, 3, 4)
    raises(DerError, reader.read, 5, 4)


def test_times_at_the_edges_of_the_calendar():
    for text, seconds in (
        ("700101000000Z", 0),
        ("700101000001Z", 1),
        ("000229235959Z", 951868799),
        ("000301000000Z", 951868800),
        ("380119031407Z", 0x7FFFFFFF),
        ("380119031408Z", 0x80000000),
        ("491231235959Z", 2524607999),
        ("500101000000Z", 0),  # 1950
        ("991231235959Z", 946684799),
        ("241231235959Z", 1735689599),
        ("240229000000Z", 1709164800),
    ):
        assert time_of(utc(text)) == seconds, text
    for text, seconds in (
        ("19700101000000Z", 0),
        ("19000101000000Z", 0),
        ("00000101000000Z", 0),
        ("20500101000000Z", 2524608000),
        ("21000228235959Z", 4107542399),
        ("21000301000000Z", 4107542400),
        ("21060207062815Z", 0xFFFFFFFF),
        ("21060207062816Z", 0xFFFFFFFF),
        ("21060207235959Z", 0xFFFFFFFF),
        ("21060208000000Z", 0xFFFFFFFF),
        ("99991231235959Z", 0xFFFFFFFF),
    ):
        assert time_of(generalized(text)) == seconds, text


def test_every_day_until_2106_follows_the_one_before():
    lengths = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    expected = 0
    for year in range(1970, 2106):
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        for month in range(12):
            days = lengths[month] + (1 if leap and month == 1 else 0)
            for day in (1, days):
                text = "%04d%02d%02d000000Z" % (year, month + 1, day)
                assert time_of(generalized(text)) == (expected + day - 1) * 86400, text
            raises(DerError, time_of, generalized("%04d%02d%02d000000Z" % (year, month + 1, days + 1)))
            expected += days


def test_refuses_times_that_are_none():
    for text in (
        "261301000000Z",
        "260001000000Z",
        "260100000000Z",
        "260132000000Z",
        "260229000000Z",
        "260431000000Z",
        "260101240000Z",
        "260101006000Z",
        "260101000060Z",
        "260101000000X",
        "2601010000Z",  # without seconds
        "260101000000+0100",
        "26010100000 Z",
        "2601010000:0Z",
        "-60101000000Z",
    ):
        raises(DerError, time_of, utc(text))
    for text in ("20260101000000", "20260101000000.5Z", "20260101000000+0000", "2026010100000Z", "21000229000000Z"):
        raises(DerError, time_of, generalized(text))
    raises(DerError, time_of, tlv(0x16, b"260101000000Z"))
