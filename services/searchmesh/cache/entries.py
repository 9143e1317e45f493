"""An entry's value: the full-dimension vectors of one input, with what a response says about it.

Layout, little-endian: CRC-32 of the rest (u32), tokens (u32), truncated (u8), 3 bytes of padding, dimensions (u32),
then float32 vectors, row-major.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<IIB3xI")


@dataclass(frozen=True, slots=True)
class Entry:
    """Vectors float32 [n, dimensions] of one input, the tokens it had and whether it was cut."""

    vectors: NDArray[np.float32]
    tokens: int
    truncated: bool

    def to_bytes(self) -> bytes:
        """The value to store."""
        rest = _HEADER.pack(0, self.tokens, self.truncated, self.vectors.shape[1])[4:] + self.vectors.tobytes()
        return zlib.crc32(rest).to_bytes(4, "little") + rest

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry | None:
        """The entry of a stored value; None if it is damaged or of another format."""
        if len(data) < _HEADER.size:
            return None
        checksum, tokens, truncated, dimensions = _HEADER.unpack_from(data)
        if checksum != zlib.crc32(memoryview(data)[4:]) or not dimensions:
            return None
        vectors = np.frombuffer(data, dtype=np.float32, offset=_HEADER.size)
        if vectors.size % dimensions:
            return None
        return cls(vectors.reshape(-1, dimensions), tokens, bool(truncated))
