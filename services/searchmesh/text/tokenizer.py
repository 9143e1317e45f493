"""Tokenising with prompts and explicit truncation, off the event loop where it takes long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import tokenizers

from searchmesh.runtime.errors import InvalidArgument
from searchmesh.text.chunks import Chunk, Chunking
from searchmesh.text.spelling import Spelling

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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


@dataclass(frozen=True, slots=True)
class Shortened:
    """A text of a limited number of tokens: the whole, its beginning or its end."""

    text: str
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Chunked:
    """Token ids of a whole text with special tokens and prompt, and its chunks in terms of these ids."""

    ids: list[int]
    chunks: list[Chunk]


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

    @property
    def special_words(self) -> list[str]:
        """The special tokens as a text spells them."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return [token.content for token in added if token.special]

    def id_of(self, token: str) -> int | None:
        """The id of a token of the vocabulary."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def spelling(self) -> Spelling:
        """Makes a text of tokens that come one by one; special ones are left out."""
        return Spelling(self._tokenizer.decode)

    async def plain(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text as it is: no prompt, no special tokens but those that it spells out, any length."""
        return await self._off_loop(texts, self.encode, texts)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The same at once, for a few short texts."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

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
        return await self._off_loop(texts, self._tokenize, texts, max_tokens, truncation, prompt, field)

    async def shortened(
        self, texts: Sequence[str], *, max_tokens: int, truncation: Truncation, field: Callable[[int], str]
    ) -> list[Shortened]:
        """Each text, cut so that it has at most `max_tokens` (≥ 1) tokens of its own: for a text that will be part of
        another.

        Raises InvalidArgument, as `tokenize` does, if a text is longer and `truncation` is REFUSE.
        """
        return await self._off_loop(texts, self._shortened, texts, max_tokens, truncation, field)

    async def chunked(
        self,
        texts: Sequence[str],
        chunking: Chunking,
        *,
        max_tokens: int,
        prompt: str = "",
        field: Callable[[int], str],
    ) -> list[Chunked]:
        """Token ids of ``prompt + text`` and where its chunks are.

        Raises InvalidArgument for a text of more than `max_tokens` (there is no truncation: chunks would be lost) and
        what `chunking` raises.
        """
        return await self._off_loop(texts, self._chunked, texts, chunking, max_tokens, prompt, field)

    async def _off_loop(self, texts: Sequence[str], work: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Run the work on a thread if the texts are long."""
        if sum(map(len, texts)) <= _INLINE_CHARACTERS:
            return work(*arguments)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

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
                    raise _too_long(
                        field(position), len(ids) + self.special_tokens, max_tokens, "shorten it or set truncation"
                    )
                if truncation is Truncation.END:
                    ids = ids[:room]
                else:
                    ids = ids[:prompt_tokens] + ids[len(ids) - (room - prompt_tokens) :]
            made.append(Tokenized([*self._before, *ids, *self._after], over))
        return made

    def _shortened(
        self, texts: Sequence[str], max_tokens: int, truncation: Truncation, field: Callable[[int], str]
    ) -> list[Shortened]:
        made = []
        for position, encoding in enumerate(self._tokenizer.encode_batch(list(texts), add_special_tokens=False)):
            text, tokens = texts[position], len(encoding.ids)
            if tokens <= max_tokens:
                made.append(Shortened(text, tokens, False))
                continue
            if truncation is Truncation.REFUSE:
                raise _too_long(field(position), tokens, max_tokens, "shorten it or set truncation")
            # A character of which one token has the first bytes and the next one the others is left out.
            if truncation is Truncation.END:
                last, following = encoding.offsets[max_tokens - 1 : max_tokens + 1]
                text = text[: min(last[1], following[0])]
            else:
                before, first = encoding.offsets[tokens - max_tokens - 1 : tokens - max_tokens + 1]
                text = text[max(before[1], first[0]) :]
            made.append(Shortened(text, max_tokens, True))
        return made

    def _chunked(
        self, texts: Sequence[str], chunking: Chunking, max_tokens: int, prompt: str, field: Callable[[int], str]
    ) -> list[Chunked]:
        made = []
        prompted = [prompt + text for text in texts]
        for position, encoding in enumerate(self._tokenizer.encode_batch(prompted, add_special_tokens=False)):
            if (tokens := len(encoding.ids) + self.special_tokens) > max_tokens:
                raise _too_long(field(position), tokens, max_tokens, "chunks need the whole of it")
            # Offsets count the prompt; a token that is partly prompt belongs to the text's first chunk all the same.
            offsets = [(start - len(prompt), end - len(prompt)) for start, end in encoding.offsets]
            skipped = sum(end <= 0 for _, end in offsets)
            chunks = chunking(position, texts[position], offsets[skipped:])
            made.append(Chunked([*self._before, *encoding.ids, *self._after], self._outer(chunks, skipped)))
        return made

    def _outer(self, chunks: Sequence[Chunk], skipped: int) -> list[Chunk]:
        """Chunks of a text's own tokens as chunks of all tokens: the first and the last take in what is around."""
        before = len(self._before) + skipped
        moved = [replace(chunk, first=chunk.first + before, last=chunk.last + before) for chunk in chunks]
        moved[0] = replace(moved[0], first=0)
        moved[-1] = replace(moved[-1], last=moved[-1].last + len(self._after))
        return moved

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _too_long(field: str, tokens: int, limit: int, advice: str) -> InvalidArgument:
    return InvalidArgument(field, f"has {tokens} tokens, the limit is {limit}; {advice}", reason="INPUT_TOO_LONG")
