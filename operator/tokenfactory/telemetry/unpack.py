"""Compressed bodies, unpacked within limits."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tokenfactory.model import FailureReason
from tokenfactory.telemetry.limits import KIB, FetchLimits

_STEP = 256 * KIB


class Refused(Exception):
    """A page that is not taken. `detail` is ours, never bytes of the server."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Unpacker:
    """One gzip stream, at most `compressed_bytes` of it, unpacked in steps of bounded size."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limit = limits.compressed_bytes
        self._stream = zlib.decompressobj(wbits=31)
        self._size = 0

    def unpack(self, chunk: bytes) -> Iterator[bytes]:
        self._size += len(chunk)
        if self._size > self._limit:
            raise Refused(FailureReason.TOO_LARGE, f"compressed body over {self._limit} bytes")
        while chunk:
            try:
                yield self._stream.decompress(chunk, _STEP)
            except zlib.error:
                raise Refused(FailureReason.BAD_ENCODING, "not a valid gzip stream") from None
            if self._stream.unused_data:
                raise Refused(FailureReason.BAD_ENCODING, "data after the gzip stream")
            chunk = self._stream.unconsumed_tail

    def finish(self) -> None:
        if self._size and not self._stream.eof:
            raise Refused(FailureReason.BAD_ENCODING, "the gzip stream ends too early")
