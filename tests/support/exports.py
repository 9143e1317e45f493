"""Models exported by the command that a user runs, and a mesh that serves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner

from searchmesh.cli.main import app
from searchmesh.local import MeshSettings, free_port_offset
from searchmesh.local.control import down, up_detached


def export(name: str, checkpoint: Path, repository: Path, precision: str = "fp32") -> None:
    """``searchmesh models export``, in this process: torch takes seconds to import."""
    command = ["models", "export", name, "--from", str(checkpoint), "--repository", str(repository)]
    done = CliRunner().invoke(app, [*command, "--precision", precision])
    assert done.exit_code == 0, done.output


@contextmanager
def serving(home: Path, checkpoints: Mapping[str, Path], *services: str) -> Iterator[MeshSettings]:
    """tritonserver and the services, on an own repository of the exported checkpoints; the first is the default."""
    for name, checkpoint in checkpoints.items():
        export(name, checkpoint, home / "repository")
    settings = MeshSettings(
        home=home,
        port_offset=free_port_offset(),
        only=("redis-cache", "triton", *services),
        default_model=next(iter(checkpoints)),
    )
    up_detached(settings)
    try:
        yield settings
    finally:
        down(home)
