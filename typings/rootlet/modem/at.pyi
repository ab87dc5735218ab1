from collections.abc import Callable, Generator
from typing import Any

from .._types import Buffer, Ticks, Uart

PROMPT: bytes
PAYLOAD: bytes
DAMAGED: bytes

class ModemError(OSError):
    words: str
    def __init__(self, errno: int, words: str) -> None: ...

class Refused(ModemError): ...

def is_error(line: bytes) -> bool: ...

class Channel:
    LINE_BYTES: int
    clock: Any
    sent: int
    received: int
    heard_ms: Ticks
    job: Generator[None, Any, Any] | None
    echo: bytes | None
    prompt: bool
    deadline_ms: Ticks
    def __init__(
        self,
        uart: Uart,
        clock: Any,
        on_line: Callable[[bytes], bool],
        on_end: Callable[[ModemError | None], object],
    ) -> None: ...
    def reset(self) -> None: ...
    def start(self, job: Generator[None, Any, Any]) -> None: ...
    def pump(self) -> bool: ...
    def send(self, data: str | Buffer, timeout_ms: int) -> None: ...
    def wait(self, timeout_ms: int) -> None: ...
    def take(self, sink: memoryview, n: int) -> None: ...
    def sleep(self, ms: int) -> Generator[None, Any]: ...
    def command(
        self, text: str, timeout_ms: int = 5_000, prefix: str = "", final: str = "OK"
    ) -> Generator[None, Any, str]: ...

def words(line: bytes) -> str: ...
