"""Settings of the reranking service."""

from __future__ import annotations

from pydantic import Field

from searchmesh.encoding import EncodingSettings


class RerankerSettings(EncodingSettings):
    """What the reranking service has besides the encoders' settings."""

    port: int = Field(default=7102, ge=0, le=65335)
    """gRPC port."""
