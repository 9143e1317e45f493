"""Load on a service of this machine: closed loop (n callers, each waits for its answer) or open loop (a fixed rate).

Both are bounded in calls and in time. In the open loop latency counts from the moment a call was due, so a service
that stalls is charged for the calls that queued up behind the stall (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self

import grpc.aio

from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import InvalidArgument, SearchmeshError, from_rpc_error
from searchmesh_bench.latency import Latency

Request = Callable[[int], Awaitable[object]]
"""Makes call number n (from 0) and returns when it is answered."""

MAX_CALLS = 1_000_000
MAX_SECONDS = 3600.0
MAX_CONCURRENCY = 1024


@dataclass
class Outcome:
    """What became of the calls of one run."""

    latencies_s: list[float] = field(default_factory=list)
    """Of the calls that succeeded, in order of completion."""

    errors: list[SearchmeshError] = field(default_factory=list)
    """Of the calls that failed."""

    seconds: float = 0.0
    """From the first call's start to the last one's end."""

    @property
    def per_second(self) -> float:
        """Successful calls per second."""
        return len(self.latencies_s) / self.seconds

    @property
    def latency(self) -> Latency:
        """Of the calls that succeeded; ValueError if none did."""
        return Latency.of(self.latencies_s)

    def checked(self) -> Self:
        """Itself. Raises the first error if a call failed."""
        if self.errors:
            raise self.errors[0]
        return self

    async def measure(self, request: Request, number: int, due: float) -> None:
        """Make one call and note how it went."""
        try:
            await request(number)
        except grpc.aio.AioRpcError as error:
            self.errors.append(from_rpc_error(error))
        except SearchmeshError as error:
            self.errors.append(error)
        else:
            self.latencies_s.append(time.perf_counter() - due)


async def closed_loop(
    request: Request, *, concurrency: int, calls: int = MAX_CALLS, seconds: float = MAX_SECONDS
) -> Outcome:
    """`concurrency` callers make `calls` calls in all; none is started after `seconds`."""
    _check("concurrency", concurrency, MAX_CONCURRENCY)
    _check("calls", calls, MAX_CALLS)
    _check("seconds", seconds, MAX_SECONDS)
    outcome = Outcome()
    start = time.perf_counter()
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            now = time.perf_counter()
            if now - start >= seconds:
                return
            await outcome.measure(request, number, now)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, calls)):
            group.create_task(caller())
    outcome.seconds = time.perf_counter() - start
    return outcome


async def open_loop(
    request: Request,
    *,
    per_second: float,
    calls: int = MAX_CALLS,
    seconds: float = MAX_SECONDS,
    stop: asyncio.Event | None = None,
) -> Outcome:
    """A call every 1 / `per_second` until `calls` were made, `seconds` have passed or `stop` is set; then a wait for
    the answers.

    At most MAX_CONCURRENCY calls are under way; a call that was due while they were all taken starts late, and its
    latency says so.
    """
    _check("per_second", per_second, MAX_CALLS)
    _check("calls", calls, MAX_CALLS)
    _check("seconds", seconds, MAX_SECONDS)
    outcome = Outcome()
    places = asyncio.Semaphore(MAX_CONCURRENCY)
    start = time.perf_counter()

    async def caller(number: int, due: float) -> None:
        try:
            await outcome.measure(request, number, due)
        finally:
            places.release()

    async with asyncio.TaskGroup() as group:
        for number in range(min(calls, max(1, int(seconds * per_second)))):
            due = start + number / per_second
            await asyncio.sleep(due - time.perf_counter())
            await places.acquire()
            if time.perf_counter() - start >= seconds or (stop is not None and stop.is_set()):
                break
            group.create_task(caller(number, due))
    outcome.seconds = time.perf_counter() - start
    return outcome


def loopback(target: str) -> grpc.aio.Channel:
    """A channel to ``host:port`` of this machine. Raises InvalidArgument for any other: load is not for others."""
    host = target.rsplit(":", 1)[0].strip("[]")
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise InvalidArgument("target", f"{target} is not on this machine's loopback interface")
    return connect(target, retry=False)


def _check(name: str, value: float, most: float) -> None:
    if not 0 < value <= most:
        raise InvalidArgument(name, f"is {value}, must be above 0 and at most {most}")
