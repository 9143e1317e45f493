"""An entry's value: the full-dimension vectors of one input, with what a response says about it.

Layout, little-endian: CRC-32 of the rest (u32), tokens (u32), truncated (u8), whether there are chunks (u8), 2 bytes of
padding, dimensions (u32), then float32 vectors, row-major, then three u32 per vector if there are chunks.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<IIBB2xI")
_CHUNK = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """Vectors float32 [n, dimensions] of one input, the tokens it had and whether it was cut."""

    vectors: NDArray[np.float32]
    tokens: int
    truncated: bool = False
    chunks: NDArray[np.uint32] | None = None
    """[n, 3], if the vectors stand for chunks of the input: start and end in code points, tokens."""

    def to_bytes(self) -> bytes:
        """The value to store."""
        chunked = self.chunks is not None
        rest = _HEADER.pack(0, self.tokens, self.truncated, chunked, self.vectors.shape[1])[4:] + self.vectors.tobytes()
        if self.chunks is not None:
            rest += self.chunks.astype("<u4", copy=False).tobytes()
        return zlib.crc32(rest).to_bytes(4, "little") + rest

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry | None:
        """The entry of a stored value; None if it is damaged or of another format."""
        if len(data) < _HEADER.size:
            return None
        checksum, tokens, truncated, chunked, dimensions = _HEADER.unpack_from(data)
        if checksum != zlib.crc32(memoryview(data)[4:]) or not dimensions:
            return None
        values = np.frombuffer(data, dtype="<u4", offset=_HEADER.size)
        rows, rest = divmod(values.size, dimensions + _CHUNK * chunked)
        if rest:
            return None
        vectors = values[: rows * dimensions].view("<f4").reshape(rows, dimensions)
        chunks = values[rows * dimensions :].reshape(rows, _CHUNK) if chunked else None
        return cls(vectors, tokens, bool(truncated), chunks)
