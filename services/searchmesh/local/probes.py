"""Whether a program answers: one try each, bounded in time, that never raises."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from searchmesh.local.ports import LOOPBACK
from searchmesh.runtime.channels import connect
from searchmesh.triton import TritonBackend

TIMEOUT_S = 1.0
"""Bound of one try."""


async def redis_answers(port: int) -> bool:
    """Whether a Redis has its data loaded and executes commands."""
    client = Redis(
        host=LOOPBACK,
        port=port,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def triton_serves(port: int, models: Sequence[str]) -> bool:
    """Whether a tritonserver has all the models ready."""
    backend = TritonBackend(f"{LOOPBACK}:{port}")
    try:
        for model in models:
            if not await backend.ready(model):
                return False
        return True
    finally:
        await backend.close()


async def service_serves(health_port: int) -> bool:
    """Whether a service says SERVING on its health port."""
    async with connect(f"{LOOPBACK}:{health_port}", retry=False) as channel:
        try:
            reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
