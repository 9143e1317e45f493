"""An embedding service that does nothing: it answers every call with the same bytes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import grpc.aio
import uvloop

from searchmesh.runtime.errors import Internal

_LENGTH_BYTES = 4


@contextmanager
def bare_service(payload: bytes) -> Iterator[str]:
    """The target of a bare service that answers with `payload`, in a process of its own."""
    command = [sys.executable, "-P", "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise Internal("the bare service has no pipes")
        process.stdin.write(len(payload).to_bytes(_LENGTH_BYTES, "little") + payload)
        process.stdin.flush()
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        # Leaving the block closes its input, which it takes as the sign to stop.


async def _serve() -> None:
    """Read the payload from standard input, print the port, serve until the input ends."""
    size = int.from_bytes(sys.stdin.buffer.read(_LENGTH_BYTES), "little")
    payload = sys.stdin.buffer.read(size)

    async def answer(request: bytes, context: object) -> bytes:  # noqa: ARG001
        return payload

    server = grpc.aio.server()
    methods = {"Embed": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("searchmesh.v1.Embedding", methods),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    await server.stop(None)


if __name__ == "__main__":
    uvloop.run(_serve())
