"""Ports of the mesh on the loopback address, and whether they are free."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from searchmesh.runtime.errors import FailedPrecondition

LOOPBACK = "127.0.0.1"
"""The only address that local processes listen on."""


@dataclass(frozen=True)
class Ports:
    """Numbers of all ports, shifted as a whole by `offset`. A service's health is on +100, its metrics on +200."""

    offset: int = 0

    @property
    def router(self) -> int:
        return 7100 + self.offset

    @property
    def embedding(self) -> int:
        return 7101 + self.offset

    @property
    def reranker(self) -> int:
        return 7102 + self.offset

    @property
    def reader(self) -> int:
        return 7103 + self.offset

    @property
    def vlm(self) -> int:
        return 7104 + self.offset

    @property
    def redis_cache(self) -> int:
        return 7379 + self.offset

    @property
    def redis_index(self) -> int:
        return 7380 + self.offset

    @property
    def triton_http(self) -> int:
        return 8000 + self.offset

    @property
    def triton_grpc(self) -> int:
        return 8001 + self.offset

    @property
    def triton_metrics(self) -> int:
        return 8002 + self.offset

    def all(self) -> list[int]:
        """Every port of a complete mesh."""
        services = (self.router, self.embedding, self.reranker, self.reader, self.vlm)
        return [
            *(port + shift for port in services for shift in (0, 100, 200)),
            self.redis_cache,
            self.redis_index,
            self.triton_http,
            self.triton_grpc,
            self.triton_metrics,
        ]


def service_ports(grpc: int) -> dict[str, int]:
    """The ports of a service by what they are for."""
    return {"gRPC": grpc, "health": grpc + 100, "metrics": grpc + 200}


def check_free(wanted: Mapping[str, Mapping[str, int]]) -> None:
    """Raise FailedPrecondition that names every taken port of child → purpose → port, and who holds it."""
    taken = [
        f"port {port}, which {child} needs for {purpose}, is taken{_holder(port)}"
        for child, ports in wanted.items()
        for purpose, port in ports.items()
        if not is_free(port)
    ]
    if taken:
        hint = "stop what holds it, or shift all ports of the mesh with SEARCHMESH_PORT_OFFSET"
        raise FailedPrecondition(f"{'; '.join(taken)}; {hint}", reason="PORT_TAKEN")


def is_free(port: int) -> bool:
    """Whether a process could listen on the port now."""
    with socket.socket() as trial:
        # As servers do: connections of a stopped server that wait for their end are no obstacle.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port_offset() -> int:
    """An offset at which a complete mesh finds its ports free now, below the range of outgoing connections."""
    for offset in random.sample(range(1000, 24_000, 10), k=200):
        if all(is_free(port) for port in Ports(offset).all()):
            return offset
    raise FailedPrecondition("found no free ports for a mesh", reason="PORT_TAKEN")


def _holder(port: int) -> str:
    try:
        import psutil  # comes with the extra; the message is good enough without it

        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (ImportError, psutil.Error, OSError):
        pass
    return ""
