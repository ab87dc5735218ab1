from collections.abc import Callable, Iterable

from . import Context, TrustStore
from ._types import Transport
from .pacing import Pace
from .slots import Slots

class Updater:
    slots: Slots
    urls: list[str]
    context: Context | None
    max_bytes: int
    timeout_ms: int
    wait_ms: int
    progress: Callable[[], object] | None
    outcome: str | None
    error: str | None
    store: TrustStore | None
    pace: Pace
    def __init__(
        self,
        slots: Slots,
        urls: str | Iterable[str],
        context: Context | None = None,
        period_s: int = 86_400,
        max_bytes: int = 262_144,
        timeout_ms: int = 120_000,
        wait_ms: int = 10_000,
        transport: Transport | None = None,
        progress: Callable[[], object] | None = None,
    ) -> None: ...
    def due(self) -> bool: ...
    def nudge(self, sequence: int | bytes) -> bool: ...
    def run(self) -> bool: ...
