"""Every given service says SERVING on its plaintext health port, within two minutes."""

import sys
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

deadline = time.monotonic() + 120
for target in sys.argv[1:]:
    with grpc.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        status = "UNKNOWN"
        while status != "SERVING":
            left = deadline - time.monotonic()
            if left <= 0:
                sys.exit(f"{target} is {status}")
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=left, wait_for_ready=True)
            status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
            time.sleep(0.2)
        print(target, status)
