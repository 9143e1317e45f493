"""Settings of the reader."""

from __future__ import annotations

from pydantic import Field, SecretStr

from searchmesh.fetch import FetchSettings
from searchmesh.generation import GenerationSettings


class ReaderSettings(FetchSettings, GenerationSettings):
    """What the reader has besides the settings of services that fetch URLs and of those that write texts. The RULES
    engine needs no tritonserver."""

    port: int = Field(default=7103, ge=0, le=65335)
    """gRPC port."""

    reader_model: str = "ReaderLM-v2"
    """Model of requests that name none."""

    max_page_bytes: int = Field(default=12 * 1024 * 1024, ge=1024)
    """Bytes of one document, sent or fetched."""

    parsers: int = Field(default=2, ge=1, le=256)
    """Processes that parse documents, one document each; as many as there are cores for them."""

    parser_memory_mb: int = Field(default=1024, ge=256)
    """Address space of each; a document that needs more is refused. 10 MB of paragraphs took
    330 MiB, 10 MB of table cells 510 MiB."""

    parser_limit_s: float = Field(default=20.0, gt=0)
    """Processor time for one document; one that takes longer is refused, and its process replaced."""

    parsers_waiting: int = Field(default=64, ge=0)
    """Documents that may wait for a process; more are shed with RESOURCE_EXHAUSTED."""

    model_chunks: int = Field(default=8, ge=1)
    """Parts that a page may be read in by a model. AUTO reads longer ones by rules."""

    model_window_tokens: int = Field(default=32_768, ge=256)
    """Tokens of one part with its prompt and its output, if the model takes that many: the KV cache of a decoder grows
    with them."""

    min_fidelity: float = Field(default=0.5, ge=0, le=1)
    """Share of a model's word trigrams that the page has to have; AUTO reads by rules what falls below."""

    vlm_target: str = ""
    """gRPC target of the vision-language service, such as ``dns:///vlm:7104``, which reads images. Empty: they are
    refused."""

    api_key: SecretStr = SecretStr("")
    """Key that it is called with, where it asks for one."""

    image_tokens: int = Field(default=1024, ge=0)
    """Bound of the text of an image whose request names none; about what a printed page has. 0: the vision-language
    service's, which is less where an image leaves its model less."""
