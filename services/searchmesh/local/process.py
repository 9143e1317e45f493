"""A started child: its process, its log, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from searchmesh.local.child import Child
from searchmesh.local.guard import MARK, end_marked

_PROBE_INTERVAL_S = 0.1


class ChildProcess:
    """The process of a child and everything it started."""

    def __init__(self, child: Child, process: asyncio.subprocess.Process, mark: str) -> None:
        self.child = child
        self.pid = process.pid
        self._process = process
        self._mark = mark

    @classmethod
    async def start(cls, child: Child, *, run: str, log: Path, folder: Path) -> ChildProcess:
        """Start it in `folder` and in its own session: Ctrl-C reaches the supervisor alone. Raises OSError."""
        child.prepare()
        mark = f"{run}{child.name}/"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *child.argv,
                env={**child.env, MARK: mark},
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(child, process, mark)

    async def becomes_ready(self) -> str:
        """Wait until it is ready; otherwise why it is not, in words."""
        give_up_at = time.monotonic() + self.child.ready_timeout_s
        exited = asyncio.ensure_future(self._process.wait())
        try:
            while (left := give_up_at - time.monotonic()) > 0:
                # In a task of its own: a client library that swallows a cancellation must not make a stop hang.
                probe = asyncio.ensure_future(self.child.ready())
                try:
                    await asyncio.wait({exited, probe}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    probe.cancel()
                if exited.done():
                    return _ended(exited.result())
                if probe.done() and probe.result():
                    return ""
                await asyncio.wait({exited}, timeout=_PROBE_INTERVAL_S)
            return f"was not ready within {self.child.ready_timeout_s:g} s"
        finally:
            exited.cancel()

    async def ended(self) -> str:
        """Wait until it has ended by itself; how, in words."""
        return _ended(await self._process.wait())

    async def end(self, hurry: asyncio.Event) -> None:
        """SIGTERM, SIGKILL after the child's grace or when `hurry` is set, and nothing it started is left."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            exited = asyncio.ensure_future(self._process.wait())
            hurried = asyncio.ensure_future(hurry.wait())
            await asyncio.wait({exited, hurried}, timeout=self.child.stop_grace_s, return_when=asyncio.FIRST_COMPLETED)
            exited.cancel()
            hurried.cancel()
        await asyncio.to_thread(end_marked, self._mark, 0)
        await self._process.wait()


def _ended(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
