"""Where the services are, unless the caller says it."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class ClientSettings(BaseSettings):
    """gRPC targets from ``SEARCHMESH_…_TARGET`` variables: ``host:port`` or ``dns:///name:port``."""

    model_config = SettingsConfigDict(
        env_prefix="SEARCHMESH_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    router_target: str = "127.0.0.1:7100"
    """The router: search, collections and documents."""

    embedding_target: str = "127.0.0.1:7101"
    """The embedding service."""

    reranker_target: str = "127.0.0.1:7102"
    """The reranking service."""
