"""Trust stores on the host: build, decode, show, compare, check."""

from .anchors import anchor_from_certificate, anchors_from_certificates
from .builder import BuildOptions, Contents, build_store, collect, read_store, release
from .format import (
    Anchor,
    Envelope,
    Header,
    Kind,
    Store,
    StoreFormatError,
    decode_store,
    encode_store,
    envelope_name,
    index_key,
)
from .sources import mozilla_certificates, read_source

__all__ = [
    "Anchor",
    "BuildOptions",
    "Contents",
    "Envelope",
    "Header",
    "Kind",
    "Store",
    "StoreFormatError",
    "anchor_from_certificate",
    "anchors_from_certificates",
    "build_store",
    "collect",
    "decode_store",
    "encode_store",
    "envelope_name",
    "index_key",
    "mozilla_certificates",
    "read_source",
    "read_store",
    "release",
]
