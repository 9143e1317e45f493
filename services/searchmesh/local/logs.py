"""Reading the logs of children while they are written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POLL_S = 0.1

_TAIL_BYTES = 64 * 1024
"""How far back the last lines are looked for."""


def tail(log: Path, lines: int) -> list[str]:
    """The last lines; none if there is no such file."""
    try:
        with log.open("rb") as file:
            return _last_lines(file, lines)
    except FileNotFoundError:
        return []


def follow(log: Path, lines: int) -> Iterator[str]:
    """The last lines and then, for ever, those that come; a new run begins a new file, read from its beginning."""
    with _when_it_exists(log) as file:
        yield from _last_lines(file, lines)
        yield from _until_replaced(log, file)
    while True:
        with _when_it_exists(log) as file:
            yield from _until_replaced(log, file)


def _last_lines(file: BinaryIO, lines: int) -> list[str]:
    """Leaves the file at its end."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
    found = _text(file.read()).splitlines()
    return found[-lines:] if lines > 0 else []


def _until_replaced(log: Path, file: BinaryIO) -> Iterator[str]:
    rest = b""
    while True:
        replaced = not log.exists() or log.stat().st_ino != os.fstat(file.fileno()).st_ino
        *complete, rest = (rest + file.read()).split(b"\n")
        yield from map(_text, complete)
        if replaced:
            return
        time.sleep(_POLL_S)


def _when_it_exists(log: Path) -> BinaryIO:
    while True:
        try:
            return log.open("rb")
        except FileNotFoundError:
            time.sleep(_POLL_S)


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
