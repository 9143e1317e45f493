"""Settings of services that have models in tritonserver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from searchmesh.runtime.settings import ServiceSettings
from searchmesh.triton.pools import parse_routes


class TritonSettings(ServiceSettings):
    """Where the models are, and what turns texts into their tokens."""

    triton_url: str = "127.0.0.1:8001"
    """gRPC address of tritonserver."""

    triton_routes: Annotated[dict[str, str], NoDecode, BeforeValidator(parse_routes)] = Field(default_factory=dict)
    """Models that another tritonserver has, as ``model=address``, separated by commas."""

    model_repository: Path = Path("repository")
    """Folder of exported models; services read cards and tokenizers from it, Triton reads the graphs."""

    tokenizer_threads: int = Field(default=2, ge=1)
    """Threads for texts that take long to tokenise."""
