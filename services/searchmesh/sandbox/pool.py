"""A fixed number of processes that work on one job each, and are replaced when they die or are ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, TypeVar, cast

from google.rpc import status_pb2

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    SearchmeshError,
    from_status,
)
from searchmesh.sandbox import frames

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

_START_S = 60.0
"""Longest wait for a process to have imported its libraries."""

_PATIENCE = 4
"""Times its limit on processor time that a job may take by the clock, on a busy machine."""

_PAUSE_S = 1.0
"""Between two tries to start a process."""

_PIPE_BYTES = 1024 * 1024


class Pool:
    """Runs jobs: functions that can be pickled and yield or return what can be pickled.

    `modules` are those of the jobs, which each process of the `service` imports before its first one. There are `size`
    processes with at most `memory_mb` of address space each; a job ends after `limit_s` of processor time, and
    `waiting` jobs may stand in line for a process.
    """

    def __init__(self, service: str, *modules: str, size: int, memory_mb: int, limit_s: float, waiting: int) -> None:
        # They are programs of their own: gRPC need not prepare to be copied into them, and complain that it cannot.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
        self._arguments = (str(memory_mb), service, *modules)
        self._size = size
        self._limit_s = limit_s
        self._most_waiting = waiting
        self._free: asyncio.Queue[Process] = asyncio.Queue()
        self._processes: set[Process] = set()
        self._replacing: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closed = False

    async def start(self) -> None:
        """Start the processes; returns when all of them can work."""
        await asyncio.gather(*(self._add() for _ in range(self._size)))

    async def run(
        self, job: Callable[..., Iterator[Item]], *arguments: Any, deadline: Deadline, field: str
    ) -> AsyncGenerator[Item, None]:
        """What the job yields, as it comes. `field` names what it works on in an InvalidArgument.

        Raises what the job raises of the tree of errors, InvalidArgument for a job that took too long or killed its
        process, Overloaded if too many jobs are waiting, and DeadlineExceeded. Leaving the loop early ends the job.

        Results are kept here until they are wanted, so that a slow caller holds no process.
        """
        process = await self._take(deadline)
        results: asyncio.Queue[Item | _End] = asyncio.Queue()
        work = asyncio.create_task(self._work(process, job, arguments, deadline, field, results))
        work.add_done_callback(lambda _: results.put_nowait(_End()))
        try:
            while not isinstance(item := await results.get(), _End):
                yield item
            await work
        finally:
            work.cancel()

    async def call(self, job: Callable[..., Result], *arguments: Any, deadline: Deadline, field: str) -> Result:
        """What a job returns that is no iterator. Raises what `run` raises."""
        returned: Callable[..., Any] = job
        (result,) = [item async for item in self.run(returned, *arguments, deadline=deadline, field=field)]
        return cast(Result, result)

    async def _take(self, deadline: Deadline) -> Process:
        if self._free.empty() and self._waiting >= self._most_waiting:
            raise Overloaded(f"{self._waiting} jobs are waiting for a process of the sandbox, the limit")
        self._waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                return await self._free.get()
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before a process of the sandbox was free") from None
        finally:
            self._waiting -= 1

    async def _work(
        self,
        process: Process,
        job: Callable[..., Any],
        arguments: tuple[Any, ...],
        deadline: Deadline,
        field: str,
        results: asyncio.Queue[Any],
    ) -> None:
        usable = False
        try:
            async with asyncio.timeout(deadline.bounded(self._limit_s * _PATIENCE)):
                message = frames.packed(frames.JOB, (job, arguments, self._limit_s))
                error, usable = await _exchange(process, message, field, results)
        except TimeoutError:
            deadline.check()
            raise _too_complex(field, f"takes more than {self._limit_s:g} s to read") from None
        finally:
            if usable:
                self._free.put_nowait(process)
            else:
                self._replace(process)
        if error is not None:
            raise error

    def _replace(self, process: Process) -> None:
        """End a process in the middle of its work, and start another one."""
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if not self._closed:
            task = asyncio.create_task(self._add_after(process))
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _add_after(self, process: Process) -> None:
        await process.wait()
        self._processes.discard(process)
        while not self._closed:
            try:
                await self._add()
                return
            except (OSError, Internal) as error:
                log.error("a process of the sandbox did not start: %s", error)
                await asyncio.sleep(_PAUSE_S)

    async def _add(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "searchmesh.sandbox.process", *self._arguments),
            stdin=PIPE,
            stdout=PIPE,
            limit=_PIPE_BYTES,
        )
        self._processes.add(process)
        try:
            async with asyncio.timeout(_START_S):
                message = await frames.receive(_output(process))
        except TimeoutError:
            message = None
        if message is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise Internal("the process ended before it was ready", reason="SANDBOX")
        self._free.put_nowait(process)

    async def close(self) -> None:
        """End all processes, whatever they do."""
        self._closed = True
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(*(process.wait() for process in self._processes))


class _End:
    """Of the results of a job."""


async def _exchange(
    process: Process, message: bytes, field: str, results: asyncio.Queue[Any]
) -> tuple[SearchmeshError | None, bool]:
    """Send a job and pass on its results.

    The error that it ended with, and whether the process is good for another. Raises if it certainly is not.
    """
    if process.stdin is None:
        raise Internal("a process of the sandbox has no input", reason="SANDBOX")
    with contextlib.suppress(ConnectionError):  # what became of it, its output tells
        process.stdin.write(message)
        await process.stdin.drain()
    while True:
        match await frames.receive(_output(process)):
            case (frames.ITEM, item):
                results.put_nowait(item)
            case (frames.DONE, worn):
                return None, not worn
            case (frames.FAILED, status):
                return from_status(status_pb2.Status.FromString(status)), True
            case (frames.BROKEN, str(problem)):
                raise _too_complex(field, problem)
            case (frames.BROKEN, _):
                raise Internal("internal error, see the log of the service", reason="UNEXPECTED")
            case _:
                if await process.wait() == -signal.SIGPROF:
                    raise TimeoutError
                raise _too_complex(field, "cannot be read: the parser did not survive it")


def _too_complex(field: str, problem: str) -> InvalidArgument:
    return InvalidArgument(field, problem, reason="TOO_COMPLEX")


def _output(process: Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise Internal("a process of the sandbox has no output", reason="SANDBOX")
    return process.stdout
