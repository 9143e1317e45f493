"""What this service needs of a decoder, whatever runs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from searchmesh.catalog import Card
from searchmesh.runtime.deadlines import Deadline
from searchmesh.v1 import models_pb2


class Finish(Enum):
    """Why a generated text ended."""

    STOP = "stop"
    """The model ended it."""
    LENGTH = "length"
    """It reached `Sampling.max_new_tokens`."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode."""

    max_new_tokens: int
    repetition_penalty: float = 1.0
    json_schema: str = ""
    """Only texts that satisfy it are generated; empty: anything."""
    copies: bool = True
    """The output copies from the prompt, which a decoder may use to draft tokens."""


@dataclass(frozen=True, slots=True)
class Generated:
    """The end of a generated text."""

    finish: Finish
    input_tokens: int
    output_tokens: int


class Generator(Protocol):
    """One decoder model that is loaded. Decoding is greedy."""

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

    def generate(self, prompt: str, sampling: Sampling, *, deadline: Deadline) -> AsyncGenerator[str | Generated, None]:
        """The text after `prompt`, which has its chat template on, piece by piece, and then how it ended.

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
