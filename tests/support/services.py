"""Service processes of a test's own on a running mesh's tritonserver, which can be drowned, rolled and stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from searchmesh.local import MeshSettings


def start_embedding(mesh: MeshSettings, port: int, **settings: str) -> subprocess.Popen[bytes]:
    """An embedding service without a cache. `settings` are ``SEARCHMESH_…`` variables; the caller ends it."""
    return _start("embedding", mesh, port, {"SEARCHMESH_CACHE_URL": ""} | settings)


def start_vlm(mesh: MeshSettings, port: int, **settings: str) -> subprocess.Popen[bytes]:
    """A vision-language service, as `start_embedding`."""
    return _start("vlm", mesh, port, settings)


def _start(service: str, mesh: MeshSettings, port: int, settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    env = os.environ | {
        "SEARCHMESH_PORT": str(port),
        "SEARCHMESH_TRITON_URL": f"127.0.0.1:{mesh.ports.triton_grpc}",
        "SEARCHMESH_MODEL_REPOSITORY": str(mesh.home / "repository"),
    }
    return subprocess.Popen([sys.executable, "-m", f"searchmesh.{service}"], env=env | settings)
