"""Service processes of a test's own on a running mesh's tritonserver, which can be drowned, rolled and stopped."""

from __future__ import annotations

import os
import subprocess
import sys

from searchmesh.local import MeshSettings


def start_embedding(mesh: MeshSettings, port: int, **settings: str) -> subprocess.Popen[bytes]:
    """An embedding service without a cache. `settings` are ``SEARCHMESH_…`` variables; the caller ends it."""
    env = os.environ | {
        "SEARCHMESH_PORT": str(port),
        "SEARCHMESH_TRITON_URL": f"127.0.0.1:{mesh.ports.triton_grpc}",
        "SEARCHMESH_CACHE_URL": "",
        "SEARCHMESH_MODEL_REPOSITORY": str(mesh.home / "repository"),
    }
    return subprocess.Popen([sys.executable, "-m", "searchmesh.embedding"], env=env | settings)
