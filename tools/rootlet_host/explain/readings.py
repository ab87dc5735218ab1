"""Finds codes, names and texts of errors in what somebody pasted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from . import tables
from .tables import Explanation

_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9A-Fa-f]+|\d+)")
_MAX_VERIFY_FLAGS = 0xFFFFF

# A code in a line of text. What is only a number may be anything, so the words before it must say what it is.
_HEX = re.compile(r"(flags?[ :=]+)?(-?)0x([0-9A-Fa-f]{1,8})\b", re.IGNORECASE)
_OS_ERROR = re.compile(r"(?:OSError:? ?\(?|\berrno[ :=]*)(-?\d+)(?![0-9a-fx])[\])]?(?:\s+(E[A-Z0-9]+))?", re.IGNORECASE)
_NEGATIVE = re.compile(
    r"(?<!addrinfo )\b(?:error|code|returned|status|ret|rc)[ :=]+\(?(-\d+)(?![0-9a-fx])", re.IGNORECASE
)
_UPPER_NAMES = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?:\s*\+\s*[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)?\b")
_ERRNO_NAME = re.compile(r"\bE[A-Z]{2,}\b")
_ALERT_NUMBER = re.compile(r"\balert(?:\s+(?:number|code|message|level|with))*[\s:=(]*(\d{1,3})\b", re.IGNORECASE)
_MODEM = re.compile(r"\+?(CM[ES]) ERROR: *([^\r\n]+)", re.IGNORECASE)
_EXCEPTION = re.compile(r"\b[A-Z][A-Za-z]*Error\b")
_RULE = re.compile(r"\brule\W{1,3}([a-z-]+)", re.IGNORECASE)
_VAGUE_RULE = "internal"  # its text could stand in anybody's message


@dataclass
class Reading:
    """What a text means, and the codes in it that nobody knows."""

    explanations: list[Explanation] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, other: Reading) -> None:
        self.explanations = tables.unique([*self.explanations, *other.explanations])
        self.unknown = list(dict.fromkeys([*self.unknown, *other.unknown]))


def read_arguments(arguments: Sequence[str]) -> Reading:
    """The meanings of what was typed: codes and names, lines in quotation marks, or the words of one line without."""
    reading = Reading()
    single = [read_code(argument) for argument in arguments]
    quoted = any(" " in argument.strip() for argument in arguments)
    words = any(not found and not _NUMBER.fullmatch(text) for text, found in zip(arguments, single, strict=True))
    if words and not quoted and len(arguments) > 1:
        reading.add(read_text(" ".join(arguments)))
        if reading.explanations or reading.unknown:
            return reading
    for argument, explanations in zip(arguments, single, strict=True):
        found = Reading(explanations) if explanations else read_text(argument)
        if not found.explanations and not found.unknown:
            found.unknown.append(argument)
        reading.add(found)
    return reading


def read_code(text: str) -> list[Explanation]:
    """Every meaning of a text that is one code or name and nothing else; [] if it is neither, or not known."""
    text = text.strip().strip("'\"`,;:()[]")
    if _NUMBER.fullmatch(text):
        return _bare_number(text)
    number = _sum_of_names(text.upper())
    if number is not None and (entry := tables.mbedtls(number)) is not None:
        return [entry]
    upper = text.upper()
    for entry, _ in tables.verify_flags().values():
        if upper in (entry.name, entry.name.removeprefix("MBEDTLS_X509_"), entry.name.removeprefix("MBEDTLS_")):
            return [entry]
    for alert_name in (text, text.lower(), upper):
        if alert_name in tables.alert_names():
            return [tables.alerts()[tables.alert_names()[alert_name]]]
    if (errno := tables.errno_by_name(upper)) is not None:
        return [errno]
    if text in tables.exceptions():
        return [tables.exceptions()[text]]
    if text.lower() in tables.rules():
        return [tables.rules()[text.lower()][0]]
    return []


def _bare_number(text: str) -> list[Explanation]:
    """A number alone can be several things; the likelier come first."""
    value = int(text, 0 if "x" in text.lower() else 10)
    size = abs(value)
    entry = tables.mbedtls(size)
    if "x" in text.lower():
        found = [entry] if entry is not None else []
        if value > 0 and (entry is None or value <= tables.LOW_LEVEL):
            found = _flags(value) + found
        return found
    if size > tables.LOW_LEVEL and entry is not None:
        return [entry]
    found = _errno(value)
    if value >= 0 and value in tables.alerts():
        found.append(tables.alerts()[value])
    return found


def _errno(value: int, name: str = "") -> list[Explanation]:
    """What the number of an OSError may be: an errno (also negative, as streams return it) or Mbed TLS's."""
    named = [entry for entry in tables.errnos() if entry.code in (str(value), str(abs(value)))]
    if any(entry.code == str(value) for entry in named):
        named = [entry for entry in named if entry.code == str(value)]
    if any(entry.name == name for entry in named):
        named = [entry for entry in named if entry.name == name]
    if value < 0 and any(entry.code == str(value) for entry in named):  # getaddrinfo's
        return named
    size = abs(value)
    raw = tables.mbedtls_as_errno(size) if size <= tables.LOW_LEVEL else tables.mbedtls(size)
    return named + ([raw] if raw is not None else [])


def _flags(value: int) -> list[Explanation]:
    """The verify flags that are set in `value`; [] if it has a bit that is none."""
    flags = tables.verify_flags()
    if not 0 < value <= _MAX_VERIFY_FLAGS:
        return []
    return [entry for flag, (entry, _) in flags.items() if value & flag]


def _sum_of_names(text: str) -> int | None:
    numbers = [tables.mbedtls_number(name.strip()) for name in text.split("+")]
    return None if None in numbers else sum(number for number in numbers if number is not None)


# Lines of text


def read_text(text: str) -> Reading:
    """Every error in a line of text, such as one of a log, in the order in which they stand."""
    hits: list[tuple[int, list[Explanation]]] = []
    reading = Reading()
    for pattern, handler in _HANDLERS:
        for match in pattern.finditer(text):
            found = handler(match)
            if found is None:
                continue
            if not found:
                reading.unknown.append(match[0].strip())
            hits.append((match.start(), found))
    hits += _phrases(text)
    hits.sort(key=lambda hit: hit[0])
    reading.explanations = tables.unique(entry for _, found in hits for entry in found)
    reading.unknown = list(dict.fromkeys(reading.unknown))
    return reading


# A handler returns meanings; [] for a code that nobody knows; None for what is no error code at all.


def _hex(match: re.Match[str]) -> list[Explanation] | None:
    value = int(match[3], 16)
    if match[1]:
        return _flags(value)
    entry = tables.mbedtls(value)
    if match[2]:
        return [entry] if entry is not None else []
    # Without a sign it may be an address or anything else.
    return [entry] if entry is not None and value > tables.LOW_LEVEL else None


def _os_error(match: re.Match[str]) -> list[Explanation] | None:
    return _errno(int(match[1]), (match[2] or "").upper())


def _negative(match: re.Match[str]) -> list[Explanation] | None:
    return _errno(int(match[1]))


def _upper_name(match: re.Match[str]) -> list[Explanation] | None:
    number = _sum_of_names(match[0])
    entry = None if number is None else tables.mbedtls(number)
    if entry is not None:
        return [entry]
    if found := read_code(match[0]):
        return found
    return [] if match[0].startswith("MBEDTLS_ERR_") else None


def _errno_name(match: re.Match[str]) -> list[Explanation] | None:
    # Beside its number, the name has been found with it.
    if re.search(r"errno[ :=]*-?\d+\]?\s+$", match.string[: match.start()], re.IGNORECASE):
        return None
    entry = tables.errno_by_name(match[0])
    return [entry] if entry is not None else None


def _alert_number(match: re.Match[str]) -> list[Explanation] | None:
    entry = tables.alerts().get(int(match[1]))
    return [entry] if entry is not None else []


def _modem(match: re.Match[str]) -> list[Explanation] | None:
    command_set, rest = match[1].upper(), match[2].strip().lower()
    number = re.match(r"\d+", rest)
    if number is not None:
        entry = tables.modem_errors().get((command_set, str(int(number[0]))))
        return [entry] if entry is not None else []
    texts = [text for kind, text in tables.modem_errors() if kind == command_set and rest.startswith(text)]
    return [tables.modem_errors()[command_set, max(texts, key=len)]] if texts else []


def _exception(match: re.Match[str]) -> list[Explanation] | None:
    entry = tables.exceptions().get(match[0])
    return [entry] if entry is not None else None


def _rule(match: re.Match[str]) -> list[Explanation] | None:
    known = tables.rules().get(match[1].lower())
    return [known[0]] if known is not None else None


_HANDLERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], list[Explanation] | None]], ...] = (
    (_HEX, _hex),
    (_OS_ERROR, _os_error),
    (_NEGATIVE, _negative),
    (_UPPER_NAMES, _upper_name),
    (_ERRNO_NAME, _errno_name),
    (_ALERT_NUMBER, _alert_number),
    (_MODEM, _modem),
    (_EXCEPTION, _exception),
    (_RULE, _rule),
)


def _phrases(text: str) -> Iterable[tuple[int, list[Explanation]]]:
    """Errors that stand in the text in words."""
    for entry, phrase in tables.verify_flags().values():
        if phrase in text:
            yield text.index(phrase), [entry]
    for phrase, entry in tables.micropython_texts():
        if phrase in text:
            yield text.index(phrase), [entry]
    for name, (entry, phrase) in tables.rules().items():
        if phrase in text and name != _VAGUE_RULE:
            yield text.index(phrase), [entry]
        elif "-" in name and (match := re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)):
            yield match.start(), [entry]
    lower = text.lower()
    if "alert" in lower:
        for entry in tables.alerts().values():
            # OpenSSL writes blanks where the RFCs write underscores.
            if match := re.search(rf"\b{entry.name.replace('_', '[_ ]')}\b", lower):
                yield match.start(), [entry]
