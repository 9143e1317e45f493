"""What tests of the local mesh share: a model that needs no export, programs that misbehave, and patience."""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil

from searchmesh.local import Home
from searchmesh.local.child import Child
from searchmesh.local.guard import marked

IDENTITY_CONFIG = """
name: "identity"
backend: "python"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [-1] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [-1] }]
instance_group [{ kind: KIND_CPU count: 2 }]
"""

IDENTITY_MODEL = """
import numpy
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def execute(self, requests):
        rows = (triton.get_input_tensor_by_name(request, "x").as_numpy() for request in requests)
        return [triton.InferenceResponse([triton.Tensor("y", row)]) for row in rows]
"""
"""It imports what the exported models import, so it loads only if the model processes find the packages."""


def write_identity_model(repository: Path) -> None:
    """A model `identity` whose output y is its input x, in two instances."""
    version = repository / "identity" / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(IDENTITY_CONFIG)
    (version / "model.py").write_text(IDENTITY_MODEL)


async def always_ready() -> bool:
    return True


def python_child(name: str, script: str, **fields: Any) -> Child:
    """A child that runs a script; without `ready` it is ready as soon as it has started."""
    fields = {"env": {}, "ports": {}, "ready": always_ready, "ready_timeout_s": 10.0, "stop_grace_s": 5.0} | fields
    return Child(name=name, argv=(sys.executable, "-I", "-S", "-c", script), **fields)


async def eventually(
    condition: Callable[[], Awaitable[bool] | bool], what: str, *, timeout_s: float = 15.0, every_s: float = 0.02
) -> None:
    """Wait until the condition holds; fail with `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        held = condition()
        if await held if inspect.isawaitable(held) else held:
            return
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(every_s)


def processes_of(home: Home) -> dict[int, str]:
    """Pid → program name of every process of the mesh of a home."""
    found = {}
    for pid in marked(f"{home.id}/") if home.state.exists() else []:
        try:
            found[pid] = psutil.Process(pid).name()
        except psutil.NoSuchProcess:
            continue
    return found
