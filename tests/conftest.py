"""The real mesh that tests share: the default model exported once, every program started once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from searchmesh.client import AsyncClient
from searchmesh.local import MeshSettings, free_port_offset
from searchmesh.local.control import down, up_detached
from support.client import client_of
from support.models import MODEL


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Triton model repository with the default model, exported by the command that a user runs."""
    path = tmp_path_factory.mktemp("models") / "repository"
    command = [sys.executable, "-m", "searchmesh.cli", "models", "export", MODEL, "--repository", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


@pytest.fixture(scope="session")
def mesh(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    """A complete mesh. Not to be stopped, paused or overloaded: `tests/fault` has its own."""
    yield from _mesh(repository, tmp_path_factory.mktemp("mesh"))


@pytest.fixture(scope="module")
def fragile_mesh(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    """A complete mesh for the tests of one module that break parts of it."""
    yield from _mesh(repository, tmp_path_factory.mktemp("fragile"))


def _mesh(repository: Path, home: Path) -> Iterator[MeshSettings]:
    (home / "repository").symlink_to(repository)
    settings = MeshSettings(home=home, port_offset=free_port_offset())
    up_detached(settings)
    yield settings
    down(home)


@pytest.fixture
async def client(mesh: MeshSettings) -> AsyncIterator[AsyncClient]:
    """A client of the shared mesh."""
    async with client_of(mesh) as client:
        yield client
