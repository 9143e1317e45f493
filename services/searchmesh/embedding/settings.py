"""Settings of the embedding service."""

from __future__ import annotations

from pydantic import Field

from searchmesh.encoding import EncodingSettings


class EmbeddingSettings(EncodingSettings):
    """What the embedding service has besides the encoders' settings."""

    port: int = Field(default=7101, ge=0, le=65335)
    """gRPC port."""

    cache_url: str = "redis://127.0.0.1:7379/0"
    """Redis of the row cache; empty: no cache."""

    cache_cluster: bool = False
    """The URL is one node of a Redis Cluster."""

    cache_timeout_ms: int = Field(default=20, ge=1)
    """Longest wait for the cache; then the request goes on without it."""

    cache_ttl_s: int = Field(default=7 * 24 * 3600, ge=1)
    """Life of an entry."""

    cache_near_mb: int = Field(default=32, ge=0)
    """Memory for rows that Redis was asked for more than once, MiB; 32 hold about 17,000 rows of 384 dimensions."""

    stream_window: int = Field(default=4, ge=1)
    """Requests of one EmbedStream that are worked on at once: enough that the model never waits for the next one."""
