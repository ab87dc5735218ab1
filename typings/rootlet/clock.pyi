from collections.abc import Iterable

from ._types import Modem, Store

def now() -> int: ...
def bounds(stores: Iterable[Store]) -> tuple[int, int]: ...
def check(stores: Iterable[Store]) -> None: ...
def synchronise(
    host: str | None = "pool.ntp.org",
    stores: Iterable[Store] = (),
    modem: Modem | None = None,
    timeout_ms: int = 5_000,
    port: int = 123,
) -> int: ...
