from collections.abc import Iterable

from ._types import Modem, Store

def synchronise(
    host: str | None = "pool.ntp.org",
    stores: Iterable[Store] = (),
    modem: Modem | None = None,
    timeout_ms: int = 5_000,
    port: int = 123,
) -> int: ...
def keep(
    path: str = "/clock",
    stores: Iterable[Store] = (),
    host: str | None = None,
    modem: Modem | None = None,
    timeout_ms: int = 5_000,
    port: int = 123,
) -> int: ...
def utc(seconds: int) -> str: ...
def query(host: str, timeout_ms: int = 5_000, port: int = 123) -> int: ...
def set_clock(seconds: int) -> None: ...
def load(path: str = "/clock") -> None: ...
def remember(path: str = "/clock", stores: Iterable[Store] = ()) -> bool: ...
