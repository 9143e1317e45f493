"""What this service needs of a decoder, whatever runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from searchmesh.catalog import Card
from searchmesh.generation import LoopGuard, Options, Written
from searchmesh.runtime.deadlines import Deadline
from searchmesh.v1 import models_pb2


class Generator(Protocol):
    """One decoder model that is loaded."""

    @property
    def card(self) -> Card:
        """What the catalog says of it."""
        ...

    @property
    def max_tokens(self) -> int:
        """Of prompt and output together."""
        ...

    async def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without special tokens."""
        ...

    def generate(
        self, prompt: str, options: Options, guard: LoopGuard, *, deadline: Deadline
    ) -> AsyncGenerator[str | Written, None]:
        """The text after `prompt`, which has its chat template on, piece by piece, and then how it ended; `guard` ends
        it where it sees a loop.

        Leaving the iterator early (`aclose`) ends the generation within a step. Raises the errors of
        `searchmesh.runtime.errors` alone.
        """
        ...


class Generators(Protocol):
    """The decoders of a service."""

    async def get(self, name: str) -> Generator:
        """The model of that name, the default one for an empty name.

        Raises NotFound (no such model), InvalidArgument (it reads no HTML), and FailedPrecondition, saying how to load
        it, for a model that is not loaded.
        """
        ...

    async def describe(self) -> list[models_pb2.Model]:
        """What `Models.List` answers."""
        ...

    async def close(self) -> None:
        """Let go of what they hold."""
        ...
