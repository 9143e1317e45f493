"""Tokenising with prompts and explicit truncation, off the event loop where it takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import tokenizers

from searchmesh.runtime.errors import InvalidArgument

_INLINE_CHARACTERS = 2_000
"""Texts up to this size in total are tokenised on the event loop: it takes under 0.5 ms, and a hop to a thread and
back costs 0.1 ms on an idle machine and more on a busy one."""


class Truncation(Enum):
    """What happens to a text with more tokens than the limit."""

    REFUSE = "refuse"
    END = "end"
    START = "start"


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Token ids with special tokens and prompt, cut to the limit."""

    ids: list[int]
    truncated: bool


class Tokenizer:
    """One model's tokenizer file, shared by all requests of a process."""

    def __init__(self, path: Path, *, threads: int = 2) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._before, self._after = self._special_tokens()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="tokenizer")

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer's post-processor puts before and after a text."""
        bare = self._tokenizer.encode("a", add_special_tokens=False).ids
        full = self._tokenizer.encode("a", add_special_tokens=True).ids
        start = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
        return full[:start], full[start + len(bare) :]

    @property
    def around(self) -> tuple[int, int]:
        """How many special tokens every text gets before and after its own."""
        return len(self._before), len(self._after)

    @property
    def special_tokens(self) -> int:
        """Their sum."""
        return sum(self.around)

    async def tokenize(
        self,
        texts: Sequence[str],
        *,
        max_tokens: int,
        truncation: Truncation,
        prompt: str = "",
        field: Callable[[int], str],
    ) -> list[Tokenized]:
        """Token ids of ``prompt + text``, each at most `max_tokens` long.

        `field` names the text at a position in an error. Truncation never cuts the prompt or the special tokens. Raises
        InvalidArgument, naming the input, its tokens and the limit, if a text is longer and `truncation` is REFUSE.
        """
        total = sum(map(len, texts))
        if total <= _INLINE_CHARACTERS:
            return self._tokenize(texts, max_tokens, truncation, prompt, field)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._tokenize, texts, max_tokens, truncation, prompt, field)

    def _tokenize(
        self, texts: Sequence[str], max_tokens: int, truncation: Truncation, prompt: str, field: Callable[[int], str]
    ) -> list[Tokenized]:
        room = max_tokens - self.special_tokens
        prompted = [prompt + text for text in texts] if prompt else list(texts)
        encodings = self._tokenizer.encode_batch_fast(prompted, add_special_tokens=False)
        prompt_tokens = len(self._tokenizer.encode(prompt, add_special_tokens=False).ids) if prompt else 0
        made = []
        for position, encoding in enumerate(encodings):
            ids = encoding.ids
            over = len(ids) > room
            if over:
                if truncation is Truncation.REFUSE:
                    raise InvalidArgument(
                        field(position),
                        f"has {len(ids) + self.special_tokens} tokens, the limit is {max_tokens};"
                        " shorten it or set truncation",
                        reason="INPUT_TOO_LONG",
                    )
                if truncation is Truncation.END:
                    ids = ids[:room]
                else:
                    ids = ids[:prompt_tokens] + ids[len(ids) - (room - prompt_tokens) :]
            made.append(Tokenized([*self._before, *ids, *self._after], over))
        return made

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
