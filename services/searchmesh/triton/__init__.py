"""The inference backend: one narrow protocol, NVIDIA Triton behind it, and a fake for unit tests."""

from searchmesh.triton.backend import Backend, Priority, Tensor
from searchmesh.triton.client import TritonBackend
from searchmesh.triton.pools import TritonPools, parse_routes

__all__ = ["Backend", "Priority", "Tensor", "TritonBackend", "TritonPools", "parse_routes"]
