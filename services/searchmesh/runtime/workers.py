"""Several worker processes on one port.

The parent holds no gRPC state (forking a process that has some is unsafe): it starts the same program once per
worker, passes SIGTERM on, and stops them all if one dies, so that whoever supervises it sees a clean failure. Should
the parent itself be killed, the workers notice the end of the pipe that is their standard input and stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys

log = logging.getLogger(__name__)


def supervise(name: str, count: int) -> int:
    """Run `count` workers of ``python -m searchmesh.NAME`` until all have ended; the exit code to pass on."""
    children = [
        subprocess.Popen(
            [sys.executable, "-m", f"searchmesh.{name}"],
            stdin=subprocess.PIPE,
            env=os.environ
            | {"SEARCHMESH_WORKERS": "1", "SEARCHMESH_WORKER": str(number), "SEARCHMESH_SHARE_PORT": "1"},
        )
        for number in range(count)
    ]
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    code = 0
    while any(child.returncode is None for child in children):
        pid, status = os.wait()
        for child in children:
            if child.pid == pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                if child.returncode != 0 or not stopping:
                    log.error("worker %d ended with code %d", pid, child.returncode)
                    code = child.returncode or 1
                    stop()
    return code


def stop_with_parent(stop: asyncio.Event) -> None:
    """Set `stop` when the parent is gone. For workers, on their event loop."""
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(0)
        stop.set()

    # Nothing is ever written to the pipe: it becomes readable when its other end closes.
    loop.add_reader(0, gone)
