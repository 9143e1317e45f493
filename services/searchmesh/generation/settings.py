"""Settings of services that write texts with a model."""

from __future__ import annotations

from pydantic import Field

from searchmesh.triton.settings import TritonSettings


class GenerationSettings(TritonSettings):
    """How many texts are written at the same time."""

    generation_slots: int = Field(default=0, ge=0)
    """Texts that one model writes at a time for one process of the service; 0: as many as the model was exported for.
    With several processes or pods before one tritonserver, those that find no slot there wait there."""

    generation_waiting: int = Field(default=64, ge=0)
    """Texts of one model that may wait for a slot; more are shed with RESOURCE_EXHAUSTED and a retry delay."""
