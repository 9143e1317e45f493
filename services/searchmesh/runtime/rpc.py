"""Between gRPC and a servicer: parse, count, trace, and turn every outcome into the right status.

A servicer is a plain object whose methods have the names of the service's rpcs::

    async def Embed(self, request: EmbedRequest, call: Call) -> EmbedResponse
    async def Index(self, requests: AsyncIterator[IndexRequest], call: Call) -> AsyncIterator[IndexProgress]

Requests arrive as bytes and are parsed here, because grpc answers a malformed message with INTERNAL, and it is the
caller's mistake. One wrapper instead of a chain of interceptors: each aio interceptor costs a task per call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.metrics import Observation

from searchmesh.runtime.auth import ApiKeys
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    STATUS_DETAILS,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    Overloaded,
    SearchmeshError,
    Unavailable,
    to_status,
)
from searchmesh.runtime.stages import Stages
from searchmesh.runtime.telemetry import meter, server_span, trace_id

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class Call:
    """What a servicer knows of the call besides its request."""

    __slots__ = ("deadline", "stages")

    def __init__(self, deadline: Deadline, stages: Stages | None = None) -> None:
        self.deadline = deadline
        self.stages = stages or Stages()


class Gate:
    """Decides at the door: calls are taken when the service is ready and has a free place."""

    def __init__(self, max_in_flight: int) -> None:
        self.in_flight = 0
        self.ready = False
        self._max = max_in_flight

    @contextmanager
    def enter(self, *, needs_ready: bool = True) -> Iterator[None]:
        """Hold a place for the block. Raises Unavailable while not ready, Overloaded when full."""
        if needs_ready and not self.ready:
            raise Unavailable("the service is not ready to serve", reason="NOT_READY")
        if self.in_flight >= self._max:
            raise Overloaded(f"{self._max} calls are being worked on, the limit of this process", retry_after_s=0.5)
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1


class Rpc:
    """Makes gRPC handlers of servicers. One per server process."""

    def __init__(self, gate: Gate, keys: ApiKeys | None = None) -> None:
        self._gate = gate
        self._keys = keys
        instruments = meter()
        self._duration = instruments.create_histogram(
            "grpc_server_duration",
            unit="s",
            description="Time from arrival to completion of a call, by method and code; its count is the calls.",
        )
        instruments.create_observable_gauge(
            "grpc_server_in_flight",
            callbacks=[lambda _: [Observation(self._gate.in_flight)]],
            description="Calls being worked on.",
        )

    def handler(
        self, service: ServiceDescriptor, servicer: object, *, needs_ready: bool
    ) -> grpc.GenericRpcHandler[Any, Any]:
        """The generic handler of one service. Raises AttributeError if the servicer lacks one of its methods."""
        methods = {
            method.name: self._method(method, getattr(servicer, method.name), needs_ready) for method in service.methods
        }
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def _method(
        self, method: MethodDescriptor, behaviour: Callable[..., Any], needs_ready: bool
    ) -> grpc.RpcMethodHandler[Any, Any]:
        request_class: type[Message] = GetMessageClass(method.input_type)
        name = f"{method.containing_service.full_name}/{method.name}"

        async def unary(data: bytes, context: Context) -> bytes:
            async with self._incoming(name, context, needs_ready) as call:
                response: Message = await behaviour(_parse(request_class, data), call)
                return response.SerializeToString()
            raise AssertionError("unreachable: the block returns or aborts")

        async def unary_stream(data: bytes, context: Context) -> AsyncIterator[bytes]:
            async with (
                self._incoming(name, context, needs_ready) as call,
                aclosing(behaviour(_parse(request_class, data), call)) as responses,
            ):
                async for response in responses:
                    yield response.SerializeToString()

        async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            async with (
                self._incoming(name, context, needs_ready) as call,
                aclosing(behaviour(_parsed(request_class, requests), call)) as responses,
            ):
                async for response in responses:
                    yield response.SerializeToString()

        if method.client_streaming:
            return grpc.stream_stream_rpc_method_handler(stream)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(unary_stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    @asynccontextmanager
    async def _incoming(self, method: str, context: Context, needs_ready: bool) -> AsyncIterator[Call]:
        """One call, from the door to its status: what the block raises becomes the status, and is counted."""
        start = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            if self._keys is not None:
                self._keys.check(context.invocation_metadata() or ())
            with self._gate.enter(needs_ready=needs_ready), server_span(method, context.invocation_metadata()):
                call = Call(Deadline.after(context.time_remaining()))
                call.deadline.check()
                yield call
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as raised:
            error = _as_error(method, raised)
            code = error.code
            status = to_status(error)
            await context.abort(code, status.message, ((STATUS_DETAILS, status.SerializeToString()),))
        finally:
            self._duration.record(time.perf_counter() - start, {"method": method, "code": code.name})


def _as_error(method: str, raised: Exception) -> SearchmeshError:
    if isinstance(raised, SearchmeshError):
        return raised
    if isinstance(raised, TimeoutError):
        return DeadlineExceeded("the deadline passed before the work was done")
    log.error("unexpected error in %s", method, exc_info=raised)
    trace = trace_id()
    hint = f"; trace {trace}" if trace else ""
    return Internal(f"internal error, see the log of the service{hint}", reason="UNEXPECTED")


def _parse(request_class: type[Message], data: bytes) -> Message:
    try:
        return request_class.FromString(data)
    except DecodeError:
        raise InvalidArgument(
            "request",
            f"is not a valid {request_class.DESCRIPTOR.full_name} message",
            reason="MALFORMED_MESSAGE",
        ) from None


async def _parsed(request_class: type[Message], requests: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for data in requests:
        yield _parse(request_class, data)
