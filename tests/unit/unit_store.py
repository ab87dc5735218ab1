"""rootlet.store: what is refused, what is found, and what it costs."""

import os
import sys

import make
import rootlet.store as module
from make import raises
from rootlet.errors import TrustStoreDamagedError, TrustStoreError, TrustStoreMissingError
from rootlet.store import TrustStore
from run import Skip
from storefile import OTHER, File, record, signature, store


def name(i):
    return make.name(cn="Root %d" % i)


def numbered(count, first=0):
    """Anchors whose keys say which they are."""
    return [(name(i), record(OTHER, b"key %d of some length" % i)) for i in range(first, first + count)]


def opened(data):
    with File(data) as file:
        return TrustStore(file.path)


SMALL = store(
    numbered(3) + [(name(9), record(path_length=1, suffixes=["a.example", "b"], distrust_after=5))],
    blocked=[b"\x01" * 16, b"\xfe" * 16],
    publisher=b"a certificate, as far as this goes",
)


def test_an_open_store_says_what_it_is():
    found = opened(store(numbered(5), sequence=0x01020304, issued_at=1_700_000_001, not_used_after=1_900_000_000))
    assert (found.count, found.sequence) == (5, 0x01020304)
    assert (found.issued_at, found.not_used_after) == (1_700_000_001, 1_900_000_000)
    assert not found.signed
    assert opened(SMALL + signature()).signed


def test_a_missing_file_is_told_from_a_damaged_one():
    raises(TrustStoreMissingError, TrustStore, "/tmp/there-is-no-such-store")
    for data in (b"", b"RTLT", b"\x7fELF" + bytes(200), b"\xff" * 100):
        raises(TrustStoreDamagedError, opened, data)


def test_a_folder_is_no_store():
    raises(TrustStoreError, TrustStore, "/tmp")


def test_a_flipped_bit_in_every_byte_is_refused():
    with File(SMALL) as file:
        data = bytearray(SMALL)
        for at in range(len(data)):
            data[at] ^= 1 << at % 8
            file.write(data)
            raises(TrustStoreDamagedError, TrustStore, file.path)
            data[at] ^= 1 << at % 8


def test_every_truncation_is_refused():
    with File(SMALL) as file:
        for n in range(len(SMALL)):
            file.write(SMALL[:n])
            raises(TrustStoreDamagedError, TrustStore, file.path)


def test_a_flipped_bit_in_every_byte_of_a_signature_is_refused():
    signed = SMALL + signature(b"leaf" * 10, b"key")
    with File(signed) as file:
        data = bytearray(signed)
        for at in range(len(SMALL), len(signed)):
            data[at] ^= 1 << at % 8
            file.write(data)
            raises(TrustStoreDamagedError, TrustStore, file.path)
            data[at] ^= 1 << at % 8


def test_a_signature_that_is_cut_short_is_refused():
    signed = SMALL + signature(b"leaf" * 10, b"key")
    with File(signed) as file:
        for n in range(len(SMALL) + 1, len(signed)):
            file.write(signed[:n])
            raises(TrustStoreDamagedError, TrustStore, file.path)


def test_headers_that_are_wrong_under_a_right_digest_are_refused():
    for fields in (
        {"version": 0},
        {"version": 2},
        {"flags": 1},
        {"flags": 0x80},
        {"count": 4097},
        {"count": 60},
        {"body": (1 << 20) + 1},
        {"body": 10},
        {"blocked_count": 1000},
        {"publisher_size": 0xFFFF},
    ):
        raises(TrustStoreDamagedError, opened, store(numbered(3), **fields))


def test_a_whole_store_with_more_than_the_limits_is_refused():
    for publisher, fits in ((2048, True), (2049, False)):
        data = store(numbered(1), publisher=bytes(publisher))
        assert opened(data) if fits else raises(TrustStoreDamagedError, opened, data)
    for envelope, fits in ((4096, True), (4097, False)):
        data = store(numbered(1)) + signature(bytes(envelope - 4 - 2 - 2 - 60 - 4))
        assert opened(data) if fits else raises(TrustStoreDamagedError, opened, data)
    for count, fits in ((4096, True), (4097, False)):
        data = store([], count=count, publisher=bytes(8 * count), publisher_size=0)  # as much room as the index takes
        assert opened(data) if fits else raises(TrustStoreDamagedError, opened, data)


def test_an_empty_store_holds_nothing():
    with File(store([])) as file:
        empty = TrustStore(file.path)
        assert empty.count == 0
        assert empty.lookup(name(0)) == []
        assert not empty.is_blocked(bytes(32))


def test_every_anchor_is_found_by_its_name_in_stores_of_every_size():
    for count in list(range(1, 40)) + [63, 64, 65, 117]:
        with File(store(numbered(count))) as file:
            found = TrustStore(file.path)
            for i in range(count):
                (anchor,) = found.lookup(name(i))
                assert bytes(anchor.key) == b"key %d of some length" % i
            for i in range(count, count + 5):
                assert found.lookup(name(i)) == []


def test_several_anchors_of_one_name_are_all_found_wherever_they_lie():
    for count in (0, 1, 5, 15, 16, 17, 30, 33, 70):
        for same in (2, 3, 4):
            twins = [(name(99), record(OTHER, b"twin %d" % i)) for i in range(same)]
            with File(store(numbered(count) + twins)) as file:
                found = TrustStore(file.path).lookup(name(99))
                assert sorted([bytes(anchor.key) for anchor in found]) == [b"twin %d" % i for i in range(same)]


def test_more_anchors_of_one_name_than_the_limit_are_not_loaded():
    many = [(name(99), record(OTHER, b"twin %d" % i)) for i in range(TrustStore.MAX_ANCHORS_PER_NAME + 30)]
    with File(store(numbered(40) + many)) as file:
        assert len(TrustStore(file.path).lookup(name(99))) == TrustStore.MAX_ANCHORS_PER_NAME


def test_a_key_is_looked_for_where_keys_begin():
    data = store(numbered(3))
    # Across two entries of the index: the offset of the first, which is 0, and the first bytes of the second's key.
    across = data[64 + 5 : 64 + 10]
    with File(data) as file:
        assert TrustStore(file.path).lookup(name(9), digest=across + bytes(27)) == []


def test_a_record_that_would_fill_the_memory_is_not_read():
    for size, good in ((8192, True), (8193, False)):
        with File(store([(name(1), record(OTHER, bytes(size - len(record(OTHER, b"")))))])) as file:
            found = TrustStore(file.path)
            if good:
                assert len(found.lookup(name(1))) == 1
            else:
                assert "too long" in str(raises(TrustStoreDamagedError, found.lookup, name(1)))


def test_an_anchor_with_dns_suffixes_is_found_for_hosts_within_them_only():
    with File(store([(name(1), record(suffixes=["a.example", "internal"]))])) as file:
        found = TrustStore(file.path)
        for host in ("a.example", "x.a.example", "y.x.a.example", "internal", "x.internal"):
            assert len(found.lookup(name(1), host)) == 1
        for host in ("example", "ba.example", "a.example.org", "xinternal", "internal.org", ""):
            assert found.lookup(name(1), host) == []
        assert len(found.lookup(name(1))) == 1


def test_blocked_keys_are_found_and_no_others():
    for count in (1, 2, 3, 16, 17, 100):
        digests = [bytes(((i * 37) & 0xFF, i)) + bytes(30) for i in range(count)]
        with File(store(numbered(2), blocked=digests)) as file:
            found = TrustStore(file.path)
            for digest in digests:
                assert found.is_blocked(digest)
                assert found.is_blocked(memoryview(digest))
                assert not found.is_blocked(digest[:15] + b"\x01" + digest[16:])
            assert not found.is_blocked(bytes(32) if digests[0] != bytes(32) else b"\x01" * 32)


def test_the_publisher_is_read_back():
    with File(SMALL) as file:
        assert TrustStore(file.path).publisher() == b"a certificate, as far as this goes"
    with File(store(numbered(1))) as file:
        assert TrustStore(file.path).publisher() is None


def test_a_store_that_disappears_or_shrinks_while_it_is_in_use_is_refused():
    with File(SMALL) as file:
        found = TrustStore(file.path)
        for n in (0, 10, 64, 70, 100):
            file.write(SMALL[:n])
            error = None
            try:
                found.lookup(name(0))
            except TrustStoreError as caught:
                error = caught
            # An index of nothing holds no anchor; everything else is an error.
            assert error is not None or found.lookup(name(0)) == []
        for n in (0, len(SMALL) - 60):
            file.write(SMALL[:n])
            raises(TrustStoreError, found.is_blocked, b"\xfe" * 15 + b"\xff")
        os.remove(file.path)
        raises(TrustStoreError, found.lookup, name(0))
        raises(TrustStoreError, found.is_blocked, bytes(32))


class Counting:
    """Stands for `open`: counts reads."""

    def __init__(self):
        self.reads = 0
        self.largest = 0

    def __call__(self, path, mode):
        return CountingFile(self, open(path, mode))


class CountingFile:
    def __init__(self, counting, file):
        self._counting = counting
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def _count(self, n):
        self._counting.reads += 1
        self._counting.largest = max(self._counting.largest, n)

    def read(self, n):
        self._count(n)
        return self._file.read(n)

    def readinto(self, buffer):
        self._count(len(buffer))
        return self._file.readinto(buffer)

    def seek(self, *arguments):
        return self._file.seek(*arguments)


def test_a_lookup_reads_the_flash_ten_times_at_most():
    for count, limit in ((117, 6), (300, 7)):
        with File(store(numbered(count))) as file:
            found = TrustStore(file.path)
            counting = module.open = Counting()
            try:
                for i in range(0, count + 20, 1 + count // 120):
                    counting.reads = 0
                    assert len(found.lookup(name(i))) == (i < count)
                    assert counting.reads <= limit, (count, counting.reads)
            finally:
                del module.open
            assert counting.largest <= 300  # 37 entries of the index


def test_the_memory_of_a_lookup_does_not_grow_with_the_store():
    if sys.implementation.name != "micropython":
        raise Skip("gc.mem_alloc is MicroPython's")
    import gc

    costs = []
    for count in (10, 117, 300):
        with File(store(numbered(count))) as file:
            found = TrustStore(file.path)
            wanted = name(3)
            found.lookup(wanted)
            gc.collect()
            gc.disable()
            before = gc.mem_alloc()
            found.lookup(wanted)
            costs.append(gc.mem_alloc() - before)
            gc.enable()
    assert max(costs) <= 5120, costs
    assert costs[2] - costs[1] <= 1024, costs
