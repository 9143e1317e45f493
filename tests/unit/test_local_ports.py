"""Ports are checked before anything starts."""

from __future__ import annotations

import os
import socket

import pytest

from searchmesh.local.ports import Ports, check_free, free_port_offset, is_free
from searchmesh.runtime.errors import FailedPrecondition


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_is_named_with_who_wants_and_who_holds_it(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(FailedPrecondition) as caught:
            check_free({"redis-cache": {"Redis": port}})
    message = caught.value.message
    assert f"port {port}, which redis-cache needs for Redis, is taken by" in message
    assert f"(pid {os.getpid()})" in message
    assert "SEARCHMESH_PORT_OFFSET" in message
    assert caught.value.reason == "PORT_TAKEN"


def test_all_taken_ports_are_named_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = {"gRPC": first.getsockname()[1], "HTTP": second.getsockname()[1]}
        with pytest.raises(FailedPrecondition) as caught:
            check_free({"triton": ports})
    assert all(str(port) in caught.value.message for port in ports.values())


def test_connections_that_a_stopped_server_left_are_no_obstacle() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert is_free(port)
    check_free({"redis-cache": {"Redis": port}})


def test_a_free_offset_has_every_port_of_a_mesh_free() -> None:
    offset = free_port_offset()
    assert all(is_free(port) for port in Ports(offset).all())
    assert max(Ports(offset).all()) < 32_768  # above it the kernel chooses ports of outgoing connections
