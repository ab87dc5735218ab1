"""rootlet.dial: what becomes of a name."""

from make import raises
from rootlet import dial
from rootlet.errors import ResolveError


class Resolver:
    """Stands in for module socket."""

    SOCK_STREAM = 1

    def __init__(self, found):
        self._found = found

    def getaddrinfo(self, *asked):
        if isinstance(self._found, OSError):
            raise self._found
        return [(2, 1, 6, "", (asked[0], n)) for n in range(self._found)]


def resolved(module):
    saved = dial.socket
    dial.socket = module
    try:
        return dial.resolve("a.example", 443)
    finally:
        dial.socket = saved


def test_of_many_addresses_the_first_four_are_tried():
    for there, tried in ((1, 1), (4, 4), (9, 4)):
        assert [where[4][1] for where in resolved(Resolver(there))] == list(range(tried))


def test_a_name_without_an_address_is_named():
    for module in (Resolver(0), Resolver(OSError(-2)), None):
        assert "a.example cannot be resolved" in str(raises(ResolveError, resolved, module))
