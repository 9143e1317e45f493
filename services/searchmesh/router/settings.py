"""Settings of the router."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from searchmesh.router.federation import SourceAddress
from searchmesh.router.query import MAX_IMAGE_BYTES, STAGES
from searchmesh.runtime.settings import ServiceSettings


class RouterSettings(ServiceSettings):
    """Where the router finds what it orchestrates, and how long it waits."""

    port: int = Field(default=7100, ge=0, le=65335)
    """gRPC port."""

    index_url: str = "redis://127.0.0.1:7380/0"
    """Redis of the index."""

    embedding_target: str = "127.0.0.1:7101"
    """gRPC target of the embedding service, such as ``dns:///embedding:7101``."""

    reranker_target: str = "127.0.0.1:7102"
    """gRPC target of the reranking service."""

    api_key: SecretStr = SecretStr("")
    """Key that these two are called with, where they ask for one. Sources do not get it."""

    sources: Annotated[tuple[SourceAddress, ...], NoDecode] = ()
    """Retrievers outside that searches may name, as ``name=target`` or ``name=target/collection``, separated by
    commas."""

    index_read_timeout_ms: int = Field(default=500, ge=1)
    """Longest wait for the index in a search. KNN and BM25 take milliseconds; but unlike a cache the index cannot be
    done without, so a pause of it (an append-only file being rewritten, a large filter) is better waited for."""

    index_write_timeout_ms: int = Field(default=10_000, ge=1)
    """Longest wait for the index when documents or collections are written."""

    embed_timeout_ms: int = Field(default=2_000, ge=1)
    """Longest wait for the vector of a query; then the search goes on without."""

    rerank_timeout_ms: int = Field(default=10_000, ge=1)
    """Longest wait for the reranker; then the order is the fused one."""

    source_timeout_ms: int = Field(default=2_000, ge=1)
    """Longest wait for a source; then the search goes on without."""

    max_image_bytes: int = Field(default=4 * 1024 * 1024, ge=1, le=MAX_IMAGE_BYTES)
    """Bytes of the image of a document or of a query, as sent."""

    index_batch_documents: int = Field(default=64, ge=1)
    """Documents of one embedding request when indexing."""

    index_window: int = Field(default=4, ge=1)
    """Batches of one Index stream that are worked on at once: while one is written, others are embedded."""

    index_embed_timeout_ms: int = Field(default=120_000, ge=1)
    """Longest wait for the vectors of one batch when indexing."""

    index_patience_s: float = Field(default=30.0, ge=0)
    """How long an Index stream tries again when embedding or index are not available, before it ends."""

    @field_validator("sources", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(SourceAddress.parse(entry.strip()) for entry in value.split(",") if entry.strip())
        return value

    @field_validator("sources")
    @classmethod
    def _check_names(cls, sources: tuple[SourceAddress, ...]) -> tuple[SourceAddress, ...]:
        names = [source.name for source in sources]
        for name in names:
            if name in STAGES:
                raise ValueError(f"a source cannot be called {name!r}: that is a stage of every search")
            if names.count(name) > 1:
                raise ValueError(f"two sources are called {name!r}")
        return sources
