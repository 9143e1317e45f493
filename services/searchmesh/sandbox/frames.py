"""Messages over a pipe: a length in four bytes, then a pickle. Both ends are this program."""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import Any, BinaryIO

_LENGTH = struct.Struct("<I")

JOB, READY, ITEM, DONE, FAILED, BROKEN = "job", "ready", "item", "done", "failed", "broken"
"""What a message is: work for a process, and from it that it can work, a result, the end, the end with an error, and
the end with an error after which nobody should trust the process."""


def packed(kind: str, value: Any) -> bytes:
    """A message as bytes."""
    data = pickle.dumps((kind, value), protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


def read(stream: BinaryIO) -> tuple[str, Any] | None:
    """The next message, None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    message: tuple[str, Any] = pickle.loads(stream.read(_LENGTH.unpack(head)[0]))
    return message


async def receive(stream: asyncio.StreamReader) -> tuple[str, Any] | None:
    """As `read`, without blocking."""
    try:
        (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
        message: tuple[str, Any] = pickle.loads(await stream.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    return message
