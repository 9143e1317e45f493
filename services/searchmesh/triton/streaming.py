"""One decoupled request and its responses over a gRPC stream of its own.

A request that is given up is told so in the stream, by a second one with its id and no inputs, and what is left is read
to the end. Cancelling the call instead makes tritonserver race with itself: of some hundred calls that were cancelled
around their end, version 2.51 kept a few for good, so that their model could not be unloaded, and on one it aborted
("API misuse of type GRPC_CALL_ERROR_TOO_MANY_OPERATIONS").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from tritonclient.grpc import service_pb2

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import DeadlineExceeded

GRACE_S = 5.0
"""For the end of a request that was given up or is late; after it the call is cancelled."""


class Streams:
    """The streams of one connection, those included that are only read to their end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def responses(
        self, call: Any, request: service_pb2.ModelInferRequest, deadline: Deadline
    ) -> AsyncGenerator[service_pb2.ModelStreamInferResponse, None]:
        """What comes on a new call in reply to a request whose id no other has. Closing the generator gives the request
        up and does not wait for its end.

        Raises DeadlineExceeded and what the call raises.
        """
        stream = _Stream(call, request)
        # Reading is a task of its own: one that is cancelled while it reads cancels the call.
        self._keep(stream.read())
        try:
            while True:
                try:
                    async with asyncio.timeout(deadline.remaining_s()):
                        found = await stream.found.get()
                except TimeoutError:
                    raise DeadlineExceeded(f"model {request.model_name} did not finish before the deadline") from None
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    return
                yield found
        finally:
            if not stream.over:
                self._keep(stream.give_up())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait until every stream has ended."""
        await asyncio.gather(*self._tasks)


class _Stream:
    def __init__(self, call: Any, request: service_pb2.ModelInferRequest) -> None:
        self._call = call
        self._request = request
        self._writes = True
        self.found: asyncio.Queue[service_pb2.ModelStreamInferResponse | Exception | None] = asyncio.Queue()
        """Responses, and at the end None or what went wrong."""
        self.over = False
        """Whether the request has ended."""
        self._sent = asyncio.Event()
        self._ended = asyncio.Event()

    async def read(self) -> None:
        """Fill `found` until the server has closed the stream: it lets go of a request when that is read."""
        try:
            await self._call.write(self._request)
            self._sent.set()
            async for response in self._call:
                self.over = self.over or _is_last(response)
                self.found.put_nowait(response)
                if self.over:
                    self.found.put_nowait(None)
                    await self._close()
        except Exception as error:
            self.found.put_nowait(error)
        finally:
            self.over = True
            self.found.put_nowait(None)
            self._sent.set()
            self._ended.set()

    async def give_up(self) -> None:
        """Have the request end soon."""
        message = service_pb2.ModelInferRequest(model_name=self._request.model_name, id=self._request.id)
        try:
            async with asyncio.timeout(GRACE_S):
                await self._sent.wait()
                await self._close(message)
                await self._ended.wait()
        except Exception:
            self._call.cancel()

    async def _close(self, message: service_pb2.ModelInferRequest | None = None) -> None:
        """Say the last word. The first to call it does."""
        if self._writes:
            self._writes = False
            if message is not None:
                await self._call.write(message)
            await self._call.done_writing()


def _is_last(response: service_pb2.ModelStreamInferResponse) -> bool:
    last: bool = response.infer_response.parameters["triton_final_response"].bool_param
    return last or bool(response.error_message)
