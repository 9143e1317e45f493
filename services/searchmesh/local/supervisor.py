"""Starts the children in order of their needs, restarts those that end, and ends all in reverse order."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from searchmesh.local import guard
from searchmesh.local.backoff import Backoff
from searchmesh.local.child import Child
from searchmesh.local.home import Home
from searchmesh.local.logs import tail
from searchmesh.local.process import ChildProcess
from searchmesh.local.state import ChildState, Phase
from searchmesh.runtime.errors import FailedPrecondition, SearchmeshError

log = logging.getLogger(__name__)

_LOG_LINES_SHOWN = 15


class Supervisor:
    """Runs children until its context ends. `children` come in an order in which each follows what it needs."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        home: Home,
        run: str,
        on_change: Callable[[tuple[ChildState, ...]], None],
        backoff: Callable[[], Backoff] = Backoff,
        hurry: asyncio.Event | None = None,
    ) -> None:
        """`run` marks the processes (see `local.guard`); setting `hurry` cuts the grace of a stop short."""
        self._children = children
        self._home = home
        self._run = run
        self._on_change = on_change
        self._backoff = backoff
        self._hurry = hurry or asyncio.Event()
        self._states = {
            child.name: ChildState(name=child.name, ports=dict(child.ports), since=time.time()) for child in children
        }
        self._was_ready = {child.name: asyncio.Event() for child in children}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._guard: asyncio.Task[None] | None = None

    @property
    def states(self) -> tuple[ChildState, ...]:
        """Every child, in order of start."""
        return tuple(self._states.values())

    def state(self, name: str) -> ChildState:
        """One child."""
        return self._states[name]

    async def __aenter__(self) -> Supervisor:
        # What a killed run of this home left behind would hold ports, and two servers would write one index.
        left = await asyncio.to_thread(guard.end_marked, f"{self._home.id}/", guard.ORPHAN_GRACE_S)
        if left:
            log.warning("ended %d processes of an earlier run", left)
        self._guard = asyncio.create_task(self._keep_guard(await self._start_guard()))
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for child in reversed(self._children):
            await _cancelled(self._tasks.pop(child.name, None))
        await _cancelled(self._guard)

    async def start(self) -> None:
        """Return once every child is ready. Raises FailedPrecondition, with the end of its log, if one fails."""
        self._on_change(self.states)
        for child in self._children:
            self._home.fresh_log(child.name)
        self._tasks = {child.name: asyncio.create_task(self._keep(child)) for child in self._children}
        all_ready = asyncio.create_task(self._all_ready())
        try:
            done, _ = await asyncio.wait({all_ready, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            all_ready.cancel()
        for finished in done:
            finished.result()

    async def _all_ready(self) -> None:
        for event in self._was_ready.values():
            await event.wait()

    async def _keep(self, child: Child) -> None:
        """Run the child again and again. Raises if it was not ready within its first tries."""
        for name in child.needs:
            if name in self._was_ready:
                await self._was_ready[name].wait()
        backoff = self._backoff()
        while True:
            ready_s, problem = await self._run_once(child)
            restarts = self._states[child.name].restarts + 1
            if not self._was_ready[child.name].is_set() and restarts >= child.first_tries:
                raise self._failed(child, problem)
            delay_s = backoff.delay_s(ready_s)
            log.warning("%s %s; start %d in %g s", child.name, problem, restarts + 1, delay_s)
            self._change(child, phase=Phase.RESTARTING, pid=None, restarts=restarts, detail=problem)
            await asyncio.sleep(delay_s)

    async def _run_once(self, child: Child) -> tuple[float, str]:
        """Run the child until it has ended: the seconds it was ready, and how it ended."""
        try:
            process = await ChildProcess.start(
                child, run=self._run, log=self._home.log(child.name), folder=self._home.path
            )
        except (OSError, SearchmeshError) as error:
            return 0.0, f"could not be started: {error}"
        try:
            self._change(child, phase=Phase.STARTING, pid=process.pid)
            if problem := await process.becomes_ready():
                return 0.0, problem
            ready_at = time.monotonic()
            self._change(child, phase=Phase.READY, detail="")
            self._was_ready[child.name].set()
            problem = await process.ended()
            return time.monotonic() - ready_at, problem
        finally:
            await process.end(self._hurry)
            self._change(child, phase=Phase.STOPPED, pid=None)

    def _change(self, child: Child, *, phase: Phase, **fields: Any) -> None:
        """Move a child to a phase and tell whoever listens."""
        update = {"phase": phase, "since": time.time(), **fields}
        self._states[child.name] = self._states[child.name].model_copy(update=update)
        log.info("%s is %s", child.name, phase)
        self._on_change(self.states)

    def _failed(self, child: Child, problem: str) -> FailedPrecondition:
        path = self._home.log(child.name)
        lines = "\n".join(f"    {line}" for line in tail(path, _LOG_LINES_SHOWN))
        end = f"the end of {path}:\n{lines}" if lines else f"its log {path} is empty"
        return FailedPrecondition(f"{child.name} {problem}; {end}", reason="CHILD_FAILED", child=child.name)

    async def _start_guard(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", guard.__file__, self._run),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _keep_guard(self, process: asyncio.subprocess.Process) -> None:
        """Have a guard until cancelled; then let it see the end of its input and do its work."""
        while True:
            try:
                await process.wait()
            except asyncio.CancelledError:
                if process.stdin is not None:
                    process.stdin.close()
                await process.wait()
                raise
            log.error("the guard ended by itself")
            await asyncio.sleep(1)
            process = await self._start_guard()


async def _cancelled(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it has cleaned up; its own error was reported before."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
