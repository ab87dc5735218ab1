from collections.abc import Callable
from typing import Any, TypeAlias

EcdsaSign: TypeAlias = Callable[[bytes, bytes], bytes | None]

class Identity:
    failure: BaseException | None
    def __init__(
        self, certificate: str | bytes | None, key: str | bytes | None = None, ecdsa_sign: EcdsaSign | None = None
    ) -> None: ...
    def install(self, context: Any) -> None: ...
