from collections.abc import Callable
from typing import Any

BITS: int
rng: str

def status() -> dict[str, Any]: ...
def check(source: Callable[[int], bytes] | None = None) -> None: ...
