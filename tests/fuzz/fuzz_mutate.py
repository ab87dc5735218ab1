"""Changes inputs at random, on both interpreters: bytes as they are, and DER with every length put right again."""

import random

_BYTES = (
    0,
    1,
    2,
    3,
    5,
    6,
    0x0C,
    0x17,
    0x18,
    0x1F,
    0x30,
    0x31,
    0x7F,
    0x80,
    0x81,
    0x82,
    0x83,
    0x87,
    0xA0,
    0xA3,
    0xFE,
    0xFF,
)


def below(n):
    """An integer from 0 to n - 1."""
    return random.getrandbits(30) % n


def some(sequence):
    return sequence[below(len(sequence))]


def noise(n):
    return bytes([random.getrandbits(8) for _ in range(n)])


def mutate(data, others):
    """`data` with one to six changes; `others`: inputs to take pieces from."""
    for _ in range(1 + below(6)):
        data = _change(data, others)
    return data[:70_000]


def _change(data, others):
    n = len(data)
    if not n:
        return noise(1 + below(8))
    at = below(n)
    kind = below(8)
    if kind == 0:
        return data[:at] + bytes((data[at] ^ 1 << below(8),)) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes((some(_BYTES),)) + data[at + 1 :]
    if kind == 2:
        return data[:at] + bytes(((data[at] + some((1, 255, 2, 128))) & 255,)) + data[at + 1 :]
    if kind == 3:
        return data[:at] + data[at + 1 + below(min(16, n - at)) :]
    if kind == 4:
        return data[:at] + noise(1 + below(6)) + data[at:]
    if kind == 5:
        size = 1 + below(min(64, n - at))
        return data[:at] + data[at : at + size] + data[at:]
    if kind == 6:
        other = some(others)
        start = below(len(other)) if other else 0
        return data[:at] + other[start : start + 1 + below(48)] + data[at:]
    return data[:at]


def mutate_der(data, others):
    """`data`, one DER value, with one to three changes inside a value or of a whole one; the lengths around it fit."""
    for _ in range(1 + below(3)):
        path = _walk(data)
        if not path:
            return mutate(data, others)
        start, body, end = path[-1]
        kind = below(8)
        if kind == 0:
            new = b""
        elif kind == 1:
            new = data[start:end] * 2
        elif kind == 2:
            new = bytes((some(_BYTES),)) + data[start + 1 : end]
        elif kind == 3:
            new = value(data[start], noise(below(12)))
        elif kind == 4:
            found = _walk(some(others))
            new = data[start:end] if not found else b""
            if found:
                other = some(others)
                found = _walk(other)
                new = other[found[-1][0] : found[-1][2]] if found else b""
        else:
            new = value(data[start], _change(data[body:end], others))
        for i in range(len(path) - 2, -1, -1):
            outer, inner, stop = path[i]
            new = value(data[outer], data[inner:start] + new + data[end:stop])
            start, end = outer, stop
        data = new
    return data[:70_000]


def value(tag, content):
    n = len(content)
    if n < 0x80:
        return bytes((tag, n)) + content
    if n < 0x100:
        return bytes((tag, 0x81, n)) + content
    if n < 0x10000:
        return bytes((tag, 0x82, n >> 8, n & 0xFF)) + content
    return bytes((tag, 0x83, n >> 16, n >> 8 & 0xFF, n & 0xFF)) + content


def _walk(data):
    """A random way down: [(start, start of the content, end), …] of each value on it, from the outermost."""
    path = []
    start, limit = 0, len(data)
    while True:
        children = []
        at = start
        while at + 2 <= limit:
            n = data[at + 1]
            body = at + 2
            if n & 0x80:
                size = n & 0x7F
                if not 1 <= size <= 3 or body + size > limit:
                    break
                n = 0
                for i in range(body, body + size):
                    n = n << 8 | data[i]
                body += size
            if body + n > limit:
                break
            children.append((at, body, body + n))
            at = body + n
        # Only what is values from end to end can be gone into.
        if not children or at != limit:
            return path
        chosen = some(children)
        path.append(chosen)
        start, limit = chosen[1], chosen[2]
        tag = data[chosen[0]]
        if tag == 0x03 and limit > start and not data[start]:
            start += 1
            return path
        if not (tag & 0x20 or tag == 0x04) or (len(path) > 1 and not below(5)):
            return path
