"""Does this board's random number generator look alive? Without it keys can be guessed."""

from micropython import const

_BYTES = const(128)  # 1,024 bits
# A repetition count test over bytes (NIST SP 800-90B, 4.4.1): with 8 bits of entropy a sample, five equal
# bytes in a row come by chance once in 2^32; a dead or repeating generator shows at once.
_REPETITIONS = const(5)


def check():
    """Raises EntropyError if there is no random source or if its output is constant or periodic."""
    from os import urandom

    sample = urandom(_BYTES)
    fault = None
    run = 1
    for i in range(1, _BYTES):
        run = run + 1 if sample[i] == sample[i - 1] else 1
        if run == _REPETITIONS:
            fault = "repeats one value"
    # Some drivers hand out the same word again after a time-out.
    for period in (2, 4, 8, 16):
        if sample[period:] == sample[:-period]:
            fault = "repeats every %d bytes" % period
    if fault:
        from .errors import EntropyError

        raise EntropyError("the random number generator " + fault)
