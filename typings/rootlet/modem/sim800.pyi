from collections.abc import Generator
from typing import Any, TypeVar

from .._types import Buffer, Pin, Uart
from .at import Channel, ModemError
from .stream import ModemStream

DOWN: int
RISING: int
UP: int

_T = TypeVar("_T")

class SIM800:
    pin: str | None
    pin_state: int
    apn: str
    user: str
    password: str
    power_key: Pin | None
    flow_control: bool
    clock: Any
    state: int
    step: str
    address: str | None
    failure: ModemError | None
    waking: bool
    skip: bool
    tx_stream: ModemStream | None
    sending: bool
    channel: Channel
    quiet_ms: int
    streams: list[ModemStream]
    next_id: int
    def __init__(
        self,
        uart: Uart,
        pin: str | None = None,
        apn: str = "",
        user: str = "",
        password: str = "",
        power_key: Pin | None = None,
        flow_control: bool = False,
        rx_bytes: int = 512,
        clock: Any = ...,
    ) -> None: ...
    def up(self, timeout_ms: int = 180_000) -> None: ...
    async def up_async(self, timeout_ms: int = 180_000) -> None: ...
    def connect(self, host: str, port: int, timeout_ms: int = 75_000) -> ModemStream: ...
    async def connect_async(self, host: str, port: int, timeout_ms: int = 75_000) -> ModemStream: ...
    def ask(self, job: Generator[None, Any, _T], timeout_ms: int = 30_000) -> _T: ...
    async def ask_async(self, job: Generator[None, Any, _T], timeout_ms: int = 30_000) -> _T: ...
    def signal(self) -> int | None: ...
    def network_time(self, server: str | None = None) -> int | None: ...
    def power_down(self) -> None: ...
    def pump(self) -> bool: ...
    def may_queue(self, stream: ModemStream) -> bool: ...
    def queue(self, stream: ModemStream, data: Buffer) -> int: ...
    def lose(self, errno: int, why: str) -> None: ...
