"""A decoder that writes what a test says, piece by piece."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence

from searchmesh.catalog import Card, load_card
from searchmesh.generation import Finish, LoopGuard, Options, Written
from searchmesh.reader.model.generator import Generator
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument, SearchmeshError
from searchmesh.v1 import models_pb2

MODEL = "ReaderLM-v2"

Reply = Callable[[str], str]
"""What the model writes for a prompt."""


def echo(prompt: str) -> str:
    """The text of the HTML in the prompt, as a good model would give it back."""
    html = prompt.partition("```html\n")[2].rpartition("\n```")[0]
    blocks = re.split(r"</?(?:p|li|tr|h\d|div)[^>]*>", html)
    texts = (" ".join(re.sub(r"<[^>]*>", " ", block).split()) for block in blocks)
    return "\n\n".join(filter(None, texts))


class FakeGenerator:
    """Remembers what it was asked. A token is a word of at most four characters."""

    def __init__(self, reply: Reply = echo, *, max_tokens: int = 8192) -> None:
        self.reply = reply
        self.prompts: list[str] = []
        self.options: list[Options] = []
        self.left_early = 0
        self.failure: SearchmeshError | None = None
        self.hang = asyncio.Event()
        self.hang.set()
        self._max_tokens = max_tokens

    @property
    def card(self) -> Card:
        return load_card(MODEL)

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    async def count(self, texts: Sequence[str]) -> list[int]:
        return [-(-len(text) // 4) for text in texts]

    async def generate(
        self, prompt: str, options: Options, guard: LoopGuard, *, deadline: Deadline
    ) -> AsyncGenerator[str | Written, None]:
        self.prompts.append(prompt)
        self.options.append(options)
        (read,) = await self.count([prompt])
        if read + options.max_new_tokens > self.max_tokens:
            raise InvalidArgument("prompt", f"has {read} tokens and leaves no room for {options.max_new_tokens}")
        done = False
        try:
            text = self.reply(prompt)
            most = options.max_new_tokens * 4
            finish, end = (Finish.LENGTH, most) if len(text) > most else (Finish.STOP, len(text))
            for start in range(0, end, 7):
                await self.hang.wait()
                if self.failure is not None:
                    raise self.failure
                piece = text[start : min(start + 7, end)]
                yield piece
                if guard.is_loop(piece):
                    finish, end = Finish.LOOP, start + len(piece)
                    break
            done = True
            yield Written(finish, "", read, -(-end // 4))
        finally:
            self.left_early += not done


class FakeGenerators:
    """One generator under the name of the reader's default model, or none."""

    def __init__(self, generator: FakeGenerator | None) -> None:
        self.generator = generator

    async def get(self, name: str) -> Generator:
        if self.generator is None or name not in ("", MODEL):
            raise FailedPrecondition(f"model {name or MODEL} is not loaded", reason="MODEL_NOT_LOADED")
        return self.generator

    async def describe(self) -> list[models_pb2.Model]:
        if self.generator is None:
            return []
        return [models_pb2.Model(name=MODEL, kind="generation", ready=True, is_default=True)]

    async def close(self) -> None:
        pass
