"""Memory for keys and values, by rows: one text has one row in each of the buffers."""

from __future__ import annotations

import mmap
from typing import Any, Protocol

import numpy as np
import onnxruntime


class Buffer(Protocol):
    """[rows, …], one row behind the other."""

    def address(self, row: int) -> int:
        """Where a row begins."""
        ...

    def release(self, row: int) -> None:
        """Give back the memory of a row that holds nothing of worth."""
        ...


class HostBuffer:
    """In main memory, which the system hands out page by page as it is written to."""

    def __init__(self, rows: int, row_bytes: int) -> None:
        self._map = mmap.mmap(-1, rows * row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._row_bytes = row_bytes
        self._start = np.frombuffer(self._map, np.uint8).ctypes.data

    def address(self, row: int) -> int:
        """See `Buffer.address`."""
        return self._start + row * self._row_bytes

    def release(self, row: int) -> None:
        """See `Buffer.release`. Pages that another row has a part in stay."""
        first = -(-row * self._row_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (row + 1) * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0:
            self._map.madvise(mmap.MADV_DONTNEED, first, length)


class DeviceBuffer:
    """On a GPU, where it is taken as a whole."""

    def __init__(self, rows: int, row_bytes: int, device: str) -> None:
        self._value: Any = onnxruntime.OrtValue.ortvalue_from_shape_and_type([rows * row_bytes], np.uint8, device, 0)
        self._row_bytes = row_bytes

    def address(self, row: int) -> int:
        """See `Buffer.address`."""
        return int(self._value.data_ptr()) + row * self._row_bytes

    def release(self, row: int) -> None:
        """Nothing: the next text of the row writes over it."""


def buffer(rows: int, row_bytes: int, device: str) -> Buffer:
    """One on the device: ``cpu`` or ``cuda``."""
    return HostBuffer(rows, row_bytes) if device == "cpu" else DeviceBuffer(rows, row_bytes, device)
