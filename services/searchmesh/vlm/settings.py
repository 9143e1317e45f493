"""Settings of the vision-language service."""

from __future__ import annotations

from pydantic import Field

from searchmesh.encoding import EncodingSettings
from searchmesh.generation import GenerationSettings


class VlmSettings(EncodingSettings, GenerationSettings):
    """What the service has besides the settings of images and of the graphs behind them, and of services that write
    texts."""

    port: int = Field(default=7104, ge=0, le=65335)
    """gRPC port."""

    vlm_model: str = "jina-vlm"
    """Model of requests that name none. The service is ready when Triton has it."""

    vlm_max_messages: int = Field(default=256, ge=1)
    """Messages of one conversation."""

    vlm_max_images: int = Field(default=16, ge=1)
    """Images of one conversation."""

    vlm_images_at_once: int = Field(default=4, ge=1)
    """Images that are crops at a time, of all requests; one of thirteen crops of 378 pixels takes 22 MB."""

    vlm_images_held: int = Field(default=256, ge=1)
    """Images of all requests that are in memory, as files or, where their texts are being written, as features: 20 MB
    for one of twelve crops of a model that is 2,048 wide. More are shed with RESOURCE_EXHAUSTED."""

    vlm_default_tokens: int = Field(default=512, ge=1)
    """Bound of a text whose request names none, or less where the prompt leaves less."""
