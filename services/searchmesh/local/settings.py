"""Settings of the mesh on one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from searchmesh.local.home import Home, default_path
from searchmesh.local.ports import Ports


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


class MeshSettings(BaseSettings):
    """Read from ``SEARCHMESH_…`` variables. The services read the same environment for what is theirs."""

    model_config = SettingsConfigDict(
        env_prefix="SEARCHMESH_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    home: Annotated[Path, AfterValidator(_absolute)] = Field(default_factory=default_path)
    """Folder of models, data and logs; one mesh runs on it at a time."""

    port_offset: int = Field(default=0, ge=0, le=57_000)
    """Added to every port, so that several meshes can share a machine."""

    only: tuple[str, ...] = ()
    """Children to run (JSON list), such as ``["redis-index", "triton"]``; empty: all."""

    models: tuple[str, ...] = ()
    """Models that tritonserver loads (JSON list); empty: all in the repository."""

    default_model: str = "all-MiniLM-L6-v2"
    """Model of requests that name none."""

    cache_memory_mb: int = Field(default=512, ge=16)
    """Memory of the embedding cache, MiB; beyond it the least frequently used vectors go."""

    index_memory_mb: int = Field(default=0, ge=0)
    """Memory of the index, MiB; beyond it indexing is refused. 0: no limit."""

    ready_timeout_s: float = Field(default=120.0, gt=0)
    """Time a child has from its start until it is ready."""

    stop_grace_s: float = Field(default=15.0, ge=3)
    """Time a child has from SIGTERM until it is killed. Services and tritonserver finish accepted work in it."""

    otlp_endpoint: str = ""
    """OTLP/HTTP collector, such as ``http://localhost:4318``, of services and tritonserver. Empty: no traces."""

    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""

    @property
    def folder(self) -> Home:
        """The layout of `home`."""
        return Home(self.home)

    @property
    def ports(self) -> Ports:
        return Ports(self.port_offset)

    @property
    def drain_s(self) -> int:
        """What children take of `stop_grace_s` to finish accepted work; the rest is for exiting."""
        return max(1, round(self.stop_grace_s - 2))

    def environment(self) -> dict[str, str]:
        """The variables that give another process these settings."""
        return {
            f"SEARCHMESH_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self.model_dump(mode="json").items()
        }
