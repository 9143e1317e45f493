"""Every pod behind the given targets says SERVING on its plaintext health port."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

for target in sys.argv[1:]:
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True)
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    print(target, status)
    if status != "SERVING":
        sys.exit(1)
