from ._types import Buffer
from .der import Reader

class Certificate(Reader):
    version: int
    serial: int
    serial_end: int
    signature: int
    issuer: int
    issuer_end: int
    not_before: int
    not_after: int
    subject: int
    subject_end: int
    spki: int
    spki_end: int
    san: int
    san_end: int
    constraints: int
    constraints_end: int
    extensions: int
    extensions_end: int
    ca: bool
    duplicate: bool
    unknown_critical: bool
    path_length: int
    key_usage: int
    extended_key_usage: int
    key_kind: int
    key_bits: int
    def __init__(self, data: Buffer | None = None) -> None: ...
    def parse(self, data: Buffer) -> None: ...
