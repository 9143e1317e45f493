"""Settings of the reranking service."""

from __future__ import annotations

from pydantic import Field

from searchmesh.encoding import EncodingSettings


class RerankerSettings(EncodingSettings):
    """What the reranking service has besides the encoders' settings."""

    port: int = Field(default=7102, ge=0, le=65335)
    """gRPC port."""

    max_request_text_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    """Bytes of all texts of one request, checked before they are tokenised."""

    max_request_tokens: int = Field(default=262_144, ge=1)
    """Tokens that the model has to read for one request: a pair counts its query, a window its overlap. More than
    `max_queued_tokens` would only ever be let in when nothing waits."""

    max_document_tokens: int = Field(default=8192, ge=1)
    """Longest document that is read in windows; what is beyond it falls to the request's truncation. 8,192 tokens are 9
    windows of a model of 1,024 beside a query of 30, and 19 beside the longest query."""

    listwise_documents: int = Field(default=64, ge=1, le=1024)
    """Documents that a listwise model reads in one pass; longer lists are read in several and joined."""
