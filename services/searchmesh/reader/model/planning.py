"""A page cut into parts that a model can read."""

from __future__ import annotations

from dataclasses import dataclass

from searchmesh.reader import jobs
from searchmesh.reader.model.fragments import chunks
from searchmesh.reader.model.generator import Generator
from searchmesh.reader.model.prompts import html_prompts, prompt_of
from searchmesh.reader.options import Format, ReadOptions
from searchmesh.reader.page import PageInfo, Source
from searchmesh.reader.settings import ReaderSettings
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.sandbox import Pool

_FRAGMENT_BYTES = 4096
"""Of HTML that a page is cut into, where it is cut at all. Byte-level tokenizers make at most one token of a byte, so a
fragment of this size fits into any window that is worth having."""


class DoesNotFit(InvalidArgument):
    """The page is too long for the model."""

    reason = "PAGE_TOO_LONG"


@dataclass(frozen=True, slots=True)
class Plan:
    """A page as a model will read it."""

    info: PageInfo
    generator: Generator
    words: str
    """Of the page, see `words_of`."""
    parts: list[str]
    """Chunks of cleaned HTML."""
    tokens: list[int]
    """Of each part."""
    room: int
    """Tokens that the prompt leaves for a part and for what is written of it."""


class Planner:
    """Prepares pages for models."""

    def __init__(self, pool: Pool, settings: ReaderSettings) -> None:
        self._pool = pool
        self._settings = settings

    async def plan(self, source: Source, options: ReadOptions, generator: Generator, call: Call) -> Plan:
        """The page in parts that the model can take. Raises DoesNotFit if there would be too many."""
        with call.stages.measure("prepare"):
            prompts = html_prompts(generator.card)
            prepared = await self._pool.call(
                jobs.prepare, source, options, prompts, deadline=call.deadline, field=source.field
            )
            # The prompt's own tokens, and as many to write as there are to read.
            window = min(generator.max_tokens, self._settings.model_window_tokens)
            size, around = await generator.count([prepared.html, prompt_of(generator.card, "", options)])
            both = max(0, window - around)
            room = both // 2
            # JSON cannot be put together from parts.
            most = 1 if options.format is Format.JSON else self._settings.model_chunks
            parts, tokens = [prepared.html], [size]
            if room < size <= room * most:
                parts = await self._parts(prepared.html, generator, room, source, call)
                tokens = await generator.count(parts)
            if size > room * most or len(parts) > most:
                raise DoesNotFit(
                    source.field,
                    f"has {size} tokens of HTML, {generator.card.name} reads {room * most} here; narrow it with"
                    " target_selectors or use the RULES engine",
                )
        return Plan(prepared.info, generator, prepared.words, parts, tokens, both)

    async def _parts(self, html: str, generator: Generator, room: int, source: Source, call: Call) -> list[str]:
        most_bytes = min(_FRAGMENT_BYTES, room // 2)
        pieces = await self._pool.call(jobs.divide, html, most_bytes, deadline=call.deadline, field=source.field)
        tokens = await generator.count([piece.html for piece in pieces])
        # A quarter is left for the tags around fragments.
        return chunks(pieces, tokens, room * 3 // 4)
