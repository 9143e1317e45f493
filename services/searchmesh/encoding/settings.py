"""Settings of services that run encoders."""

from __future__ import annotations

from pydantic import Field

from searchmesh.batching import Limits
from searchmesh.images import ImageSettings
from searchmesh.triton.settings import TritonSettings


class EncodingSettings(ImageSettings, TritonSettings):
    """How the models are fed."""

    default_model: str = "all-MiniLM-L6-v2"
    """Model of requests that name none. The service is ready when Triton has it."""

    max_batch_tokens: int = Field(default=1024, ge=16)
    """Padded tokens of one batch. On two CPU cores 512 gave 16,900 tokens/s at 128 tokens a text, 1,024 17,200 in one
    run and 16,200 in another, 2,048 15,700; a GPU wants 16,384 or more."""

    max_batch_rows: int = Field(default=64, ge=1)
    """Rows of one batch. A model that was exported for fewer gets no more than those."""

    length_steps: int = Field(default=16, ge=1, le=16)
    """Padded lengths an octave. More steps pad less and make more shapes: ONNX Runtime on a CPU took 206 MiB after 52
    shapes (1 step) and 207 MiB after 576 (16 steps), a GPU pays for each."""

    slots: int = Field(default=3, ge=1)
    """Batches in flight. The local models have one instance per core and one more."""

    bulk_slots: int = Field(default=2, ge=1)
    """Of these, bulk batches; one slot less than `slots` keeps a place for queries."""

    bulk_yield_s: float = Field(default=1.0, ge=0)
    """Time after a query in which bulk batches have one slot less."""

    bulk_ageing_s: float = Field(default=2.0, ge=0)
    """A bulk row that has waited this much longer than a query goes first."""

    max_queued_tokens: int = Field(default=262_144, ge=1)
    """Padded tokens that may wait in each lane; more is shed with RESOURCE_EXHAUSTED and a retry delay."""

    max_inputs: int = Field(default=1024, ge=1)
    """Inputs of one request."""

    max_text_bytes: int = Field(default=2 * 1024 * 1024, ge=1)
    """Bytes of one text, checked before it is tokenised."""

    max_images: int = Field(default=64, ge=1)
    """Images of one request."""

    max_held_images: int = Field(default=128, ge=1)
    """Images of all requests that are in memory as files or features (768 tokens of 1,536 numbers are 4.5 MiB); what
    would exceed it is shed with RESOURCE_EXHAUSTED."""

    images_at_once: int = Field(default=8, ge=1)
    """Images between file and features at a time (14 MiB each at 602,112 pixels)."""

    @property
    def limits(self) -> Limits:
        """What the scheduler of each model is given."""
        return Limits(
            slots=self.slots,
            bulk_slots=min(self.bulk_slots, self.slots),
            bulk_yield_s=self.bulk_yield_s,
            bulk_ageing_s=self.bulk_ageing_s,
            max_queued_tokens=self.max_queued_tokens,
        )
