"""Ends every process of a run, also when the supervisor was killed and could not.

All processes of a mesh carry `MARK` in their environment, and what they start inherits it: the model processes of
tritonserver, the workers of a service. Looking for the mark finds them all, whoever their parent is now. That matters
because the model processes wait for tritonserver's pid to disappear, and where nothing reaps a dead tritonserver (a
container without an init) they wait for ever.

This file is also a program: it waits for the end of its standard input, which the supervisor holds open, and then
ends the run. It uses the standard library alone and starts in isolated mode.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import sys
import time
from pathlib import Path

MARK = "SEARCHMESH_RUN"
"""Environment variable of every process of a mesh: ``<home>/<run>/<child>/``."""

ORPHAN_GRACE_S = 2.0
"""Time that children of a killed supervisor have to exit by themselves; the index flushes its log in it."""

_GIVE_UP_S = 10.0
"""A process that SIGKILL does not end in this time hangs in the kernel."""


def marked(prefix: str) -> list[int]:
    """Pids of the processes, without this one, whose mark starts with `prefix`; zombies have no environment."""
    wanted = f"\0{MARK}={prefix}".encode()
    own = str(os.getpid())
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or entry.name == own:
            continue
        # Processes end while we look, and those of other users cannot be read.
        with contextlib.suppress(OSError):
            if wanted in b"\0" + Path(entry.path, "environ").read_bytes():
                found.append(int(entry.name))
    return found


def end_marked(prefix: str, grace_s: float) -> int:
    """SIGTERM, after `grace_s` SIGKILL, until no marked process is left; how many there were. Removes shared memory."""
    first = marked(prefix)
    kill_at = time.monotonic() + grace_s
    if grace_s > 0:
        _send(first, signal.SIGTERM)
    while left := marked(prefix):
        if time.monotonic() >= kill_at + _GIVE_UP_S:
            break
        if time.monotonic() >= kill_at:
            _send(left, signal.SIGKILL)
        time.sleep(0.02)
    for path in glob.glob(f"/dev/shm/{glob.escape(shared_memory_prefix(prefix))}*"):
        with contextlib.suppress(OSError):
            os.unlink(path)
    return len(first)


def shared_memory_prefix(prefix: str) -> str:
    """How the names of shared memory of marked processes start."""
    return prefix.replace("/", "-")


def _send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _main(prefix: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while sys.stdin.buffer.read(64):
        pass
    end_marked(prefix, ORPHAN_GRACE_S)


if __name__ == "__main__":
    _main(sys.argv[1])
