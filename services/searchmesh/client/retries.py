"""When a shed call is tried again: after the delay it was told, within its deadline, and within a budget."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator
from typing import TypeVar

import grpc
import grpc.aio

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument, Overloaded, SearchmeshError, Unavailable, from_rpc_error
from searchmesh.runtime.telemetry import inject

Req = TypeVar("Req")
Res = TypeVar("Res")

_TOO_LARGE = "larger than max"
"""gRPC refuses messages over a side's limit with the code of a service that sheds, but they will never pass."""

_WRITE_FAILED = "Internal error from Core"
"""What grpc.aio makes of a write on a stream that the service has just ended, instead of the status it ended with."""


class RetryBudget:
    """A token bucket: each call puts in `ratio` of a token, each retry takes one.

    It keeps a client's retries at a tenth of its calls in the long run, whatever the services answer.
    """

    def __init__(self, ratio: float = 0.1, burst: float = 10.0) -> None:
        self._ratio = ratio
        self._burst = burst
        self._tokens = burst

    def earn(self) -> None:
        """Count a call."""
        self._tokens = min(self._burst, self._tokens + self._ratio)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Unary:
    """Makes the calls of one client. UNAVAILABLE is retried below, by the channel."""

    def __init__(self, timeout_s: float, budget: RetryBudget) -> None:
        self._timeout_s = timeout_s
        self._budget = budget

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Req, Res], request: Req, timeout_s: float | None
    ) -> Res:
        """The response. Raises a SearchmeshError; `timeout_s` (None: the client's) bounds all tries together."""
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        self._budget.earn()
        while True:
            try:
                return await method(request, timeout=deadline.remaining_s(), metadata=inject())
            except grpc.aio.AioRpcError as raised:
                error = as_error(raised)
                delay_s = self._delay_s(error, deadline)
                if delay_s is None:
                    raise error from None
            await asyncio.sleep(delay_s)

    async def stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Req, Res], request: Req, timeout_s: float | None
    ) -> AsyncGenerator[Res, None]:
        """The responses, as they come. As `call`; once the first has come, nothing is tried again."""
        deadline = Deadline.after(self._timeout_s if timeout_s is None else timeout_s)
        self._budget.earn()
        answered = False
        while True:
            call = method(request, timeout=deadline.remaining_s(), metadata=inject())
            try:
                async for response in call:
                    answered = True
                    yield response
                return
            except grpc.aio.AioRpcError as raised:
                error = as_error(raised)
                delay_s = None if answered else self._delay_s(error, deadline)
                if delay_s is None:
                    raise error from None
            finally:
                call.cancel()
            await asyncio.sleep(delay_s)

    def _delay_s(self, error: SearchmeshError, deadline: Deadline) -> float | None:
        """Seconds to wait before the next try, None if there is none."""
        delay_s = retry_delay_s(error)
        if delay_s is None or delay_s >= deadline.bounded(math.inf) or not self._budget.spend():
            return None
        return delay_s


def retry_delay_s(error: SearchmeshError) -> float | None:
    """Seconds to wait before a shed call may be tried again, None if it may not.

    Up to a tenth is added, so that callers that were shed together do not come back together.
    """
    return error.retry_after_s * random.uniform(1.0, 1.1) if isinstance(error, Overloaded) else None


def as_error(raised: grpc.aio.AioRpcError) -> SearchmeshError:
    """The error of the tree that a call ended with."""
    details = raised.details() or ""
    if raised.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
        return InvalidArgument("request", f"is too large; gRPC said: {details}", reason="MESSAGE_TOO_LARGE")
    if raised.code() is grpc.StatusCode.INTERNAL and details == _WRITE_FAILED:
        return Unavailable("the stream ended while a message was sent", reason="STREAM_CUT")
    return from_rpc_error(raised)
