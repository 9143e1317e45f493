"""Triton over gRPC (KServe v2), on tritonclient's generated stubs with raw tensor contents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from secrets import token_hex

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from searchmesh.runtime.channels import connect
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import (
    BackendUnavailable,
    Cancelled,
    DeadlineExceeded,
    Internal,
    Overloaded,
    SearchmeshError,
)
from searchmesh.runtime.telemetry import inject, span
from searchmesh.runtime.tls import Tls
from searchmesh.triton.backend import Priority, Tensor, Tensors
from searchmesh.triton.streaming import GRACE_S, Streams

_DTYPES = {
    "BOOL": np.bool_, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT32": np.uint32, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
_NAMES = {np.dtype(numpy): triton for triton, numpy in _DTYPES.items()}

_ATTEMPTS = 3
"""Tries of an inference (it is idempotent) when the connection breaks: with several pods behind one name, another
pod answers; more tries would only multiply the load of a pool that is going down."""

_BACKOFF_S = 0.05


class TritonBackend:
    """`Backend` on a tritonserver at ``host:port``."""

    def __init__(self, url: str, tls: Tls | None = None) -> None:
        # Retries are made here and not by the channel: Triton says UNAVAILABLE for a full queue, too.
        self._channel = connect(url, tls=tls, retry=False)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._streams = Streams()

    async def infer(
        self,
        model: str,
        inputs: Tensors,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
    ) -> dict[str, Tensor]:
        """See `Backend.infer`."""
        request = _request(model, inputs, outputs)
        request.parameters["priority"].uint64_param = priority
        with span("triton.infer", model=model):
            for attempt in range(1, _ATTEMPTS + 1):
                deadline.check()
                timeout = deadline.remaining_s()
                if timeout is not None:
                    # A row that waits in Triton's queue past the deadline is rejected there, not computed.
                    request.parameters["timeout"].int64_param = max(1, int(timeout * 1e6))
                try:
                    reply = await self._stub.ModelInfer(request, timeout=timeout, metadata=inject(only_sampled=True))
                except grpc.aio.AioRpcError as raised:
                    error = _error(model, raised)
                    if attempt == _ATTEMPTS or not isinstance(error, BackendUnavailable):
                        raise error from None
                    await asyncio.sleep(deadline.bounded(_BACKOFF_S * attempt))
                else:
                    return _tensors(reply)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def stream(
        self, model: str, inputs: Tensors, outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Tensor], None]:
        """See `Backend.stream`. Closing the generator gives the request up."""
        request = _request(model, inputs, outputs)
        request.id = token_hex(8)
        request.parameters["triton_enable_empty_final_response"].bool_param = True
        remaining = deadline.remaining_s()
        timeout = None if remaining is None else remaining + GRACE_S
        call = self._stub.ModelStreamInfer(timeout=timeout, metadata=inject(only_sampled=True))
        try:
            async with aclosing(self._streams.responses(call, request, deadline)) as responses:
                async for response in responses:
                    if response.error_message:
                        raise _failure(model, response.error_message)
                    if response.infer_response.outputs:
                        yield _tensors(response.infer_response)
        except grpc.aio.AioRpcError as raised:
            raise _error(model, raised) from None

    async def ready(self, model: str) -> bool:
        """See `Backend.ready`. Asks for the model: the server's own readiness stays true without it."""
        try:
            reply = await self._stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=1.0)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.ready)

    async def close(self) -> None:
        """See `Backend.close`."""
        await self._streams.close()
        await self._channel.close(None)


def _request(model: str, inputs: Tensors, outputs: Sequence[str]) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, tensor in inputs.items():
        request.inputs.add(name=name, datatype=_NAMES[tensor.dtype], shape=tensor.shape)
        request.raw_input_contents.append(tensor.tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def _tensors(reply: service_pb2.ModelInferResponse) -> dict[str, Tensor]:
    return {
        output.name: np.frombuffer(raw, dtype=_DTYPES[output.datatype]).reshape(tuple(output.shape))
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


def _failure(model: str, text: str) -> SearchmeshError:
    """What an error in a stream, which comes without a status, means."""
    if "unknown model" in text or "not ready" in text:
        return _not_ready(model)
    return Internal(f"the model {model} failed: {text}", reason="BACKEND_FAILED")


def _error(model: str, error: grpc.aio.AioRpcError) -> SearchmeshError:
    """What Triton's status means for the caller of a service; `tests/service` holds it against the real one."""
    text = error.details() or ""
    match error.code():
        case grpc.StatusCode.UNAVAILABLE if "maximum queue size" in text:
            return Overloaded(f"the queue of model {model} is full", retry_after_s=1.0, reason="BACKEND_QUEUE_FULL")
        case grpc.StatusCode.UNAVAILABLE if "timeout expired" in text:
            return DeadlineExceeded(f"waited in the queue of model {model} until the deadline")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"model {model} did not answer before the deadline")
        case grpc.StatusCode.CANCELLED:
            return Cancelled("the inference was cancelled")
        case grpc.StatusCode.NOT_FOUND:
            return _not_ready(model)
        case grpc.StatusCode.UNAVAILABLE if "unknown model" in text or "not ready" in text:
            return _not_ready(model)
        case grpc.StatusCode.UNAVAILABLE:
            return BackendUnavailable("the inference backend cannot be reached")
        case code:
            return Internal(f"model {model} failed with {code.name}: {text}", reason="BACKEND_FAILED")


def _not_ready(model: str) -> BackendUnavailable:
    return BackendUnavailable(f"the inference backend has not loaded model {model}", reason="MODEL_NOT_READY")
