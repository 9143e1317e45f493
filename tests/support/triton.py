"""Looking into a real tritonserver."""

from __future__ import annotations

import grpc.aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from searchmesh.local import MeshSettings
from support.models import MODEL


async def inferences(settings: MeshSettings) -> int:
    """How many inferences of the default model have succeeded so far."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{settings.ports.triton_grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = await stub.ModelStatistics(service_pb2.ModelStatisticsRequest(name=MODEL))
    return int(answer.model_stats[0].inference_stats.success.count)
