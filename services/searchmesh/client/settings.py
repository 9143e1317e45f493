"""Where the services are and how to reach them, unless the caller says it."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from searchmesh.runtime.tls import Tls


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

    reader_target: str = "127.0.0.1:7103"
    """The reader."""

    vlm_target: str = "127.0.0.1:7104"
    """The vision-language service."""

    api_key: SecretStr = SecretStr("")
    """API key, for services that want one."""

    tls_ca: Path | None = None
    """PEM file with what the services' certificates must be signed by; None: plaintext."""

    tls_cert: Path | None = None
    """PEM file with the client's own certificate chain, for services that want one."""

    tls_key: Path | None = None
    """PEM file with its key."""

    @property
    def tls(self) -> Tls | None:
        """None: plaintext."""
        return Tls(self.tls_cert, self.tls_key, self.tls_ca) if self.tls_ca else None
