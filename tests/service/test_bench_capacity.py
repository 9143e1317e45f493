"""`searchmesh bench capacity` on the real mesh, with trials that take seconds."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
import yaml

from searchmesh.client import ClientSettings
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh_bench.capacity import Shape, measure
from searchmesh_bench.mesh import client_settings
from support.models import MODEL


async def test_it_prints_the_value_that_the_pool_is_scaled_by(mesh: MeshSettings) -> None:
    arguments = [MODEL, "--items", "4", "--words", "20", "--seconds", "0.5", "--limit-ms", "400"]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "searchmesh.cli", "bench", "capacity", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"SEARCHMESH_HOME": str(mesh.home)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    pool = yaml.safe_load(done.stdout)["triton"]["pools"]["encoders"]
    assert pool["autoscaling"]["itemsPerSecondPerPod"][MODEL] > 1
    assert "kept up" in done.stderr
    assert "too much" in done.stderr


async def test_a_model_that_nobody_serves_has_no_capacity(mesh: MeshSettings) -> None:
    targets: ClientSettings = client_settings(mesh.ports)
    with pytest.raises(InvalidArgument, match=f"is nothing; the services count items of .*{MODEL}"):
        await measure("nothing", Shape(1, 1), targets, seconds=0.1, limit_ms=100)
