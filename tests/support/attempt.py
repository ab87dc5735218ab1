"""What a board says about one attempt to connect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

HOST = "board.example.org"


@dataclass
class Outcome:
    """How an attempt to connect went."""

    kind: str | None = None  # class of the exception, None when it went well
    kinds: list[str] = field(default_factory=list)  # the class and its bases
    message: str = ""
    remedy: str = ""
    cause: str = ""
    reasons: list[str] = field(default_factory=list)
    rule: str = ""
    depth: int = -1
    alert: int | None = None
    seen: list[str] = field(default_factory=list)
    body: str = ""
    cipher: tuple[str, str] = ("", "")
    certificate_bytes: int = 0
    elapsed_ms: int = 0
    before: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)

    @property
    def connected(self) -> bool:
        return self.kind is None and self.body.endswith("hello")


Connect = Callable[..., Outcome]
