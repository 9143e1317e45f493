"""The inference backend: one narrow protocol, NVIDIA Triton behind it, and a fake for unit tests."""

from searchmesh.triton.backend import Backend, Priority, Tensor
from searchmesh.triton.client import TritonBackend

__all__ = ["Backend", "Priority", "Tensor", "TritonBackend"]
