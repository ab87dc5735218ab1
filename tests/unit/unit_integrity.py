"""rootlet.integrity: what a store must not have although its digest is right."""

import make
from rootlet.integrity import fault
from rootlet.store import TrustStore
from storefile import File, record, store


def fault_of(content):
    with File(store([(make.name(cn="Root"), content)])) as file:
        return fault(TrustStore(file.path))


def test_a_suffix_that_is_not_ascii_is_refused():
    plain = record(suffixes=["bxxcher.example"])
    assert fault_of(plain) is None
    # UTF-8, which MicroPython would take for ASCII
    assert fault_of(plain.replace(b"bxx", b"b\xc3\xbc")) is not None
    assert fault_of(plain.replace(b"bxx", b"b\x9f\x9f")) is not None
