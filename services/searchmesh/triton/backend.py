"""What the services need of an inference backend."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Protocol

from numpy.typing import NDArray

from searchmesh.runtime.deadlines import Deadline

Tensor = NDArray[Any]
Tensors = Mapping[str, Tensor]


class Priority(IntEnum):
    """Priority levels of Triton's dynamic batcher; 1 goes first."""

    INTERACTIVE = 1
    BULK = 2


class Backend(Protocol):
    """Runs named models on tensors. Every method raises the errors of `searchmesh.runtime.errors` alone:
    BackendUnavailable (not reachable, or the model is not loaded), Overloaded, DeadlineExceeded, Internal.
    """

    async def infer(
        self,
        model: str,
        inputs: Tensors,
        outputs: Sequence[str],
        *,
        deadline: Deadline,
        priority: Priority = Priority.INTERACTIVE,
    ) -> dict[str, Tensor]:
        """One inference: the named outputs, and only those."""
        ...

    def stream(
        self, model: str, inputs: Tensors, outputs: Sequence[str], *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, Tensor], None]:
        """The responses of a decoupled model, as they come. Closing the generator gives the request up: by a
        second one with its id and no inputs, which the model has to understand.
        """
        ...

    async def ready(self, model: str) -> bool:
        """Whether the model is loaded. False when the backend cannot be reached."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
