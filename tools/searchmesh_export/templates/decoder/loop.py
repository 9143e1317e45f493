"""Continuous batching: texts join and leave the batch between two steps of the model.

One thread owns the graph. Each round it reads a piece of one prompt, so that long prompts do not hold up the texts that
are being written, and then writes on at all texts: in a batch by one token each, or, where there are few and a draft,
alone by as many tokens as were drafted right.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .graph import Graph
from .options import Kind, Problem, invalid
from .sampling import Logits
from .stream import Stream


@dataclass(frozen=True, slots=True)
class Limits:
    """Parameters of config.pbtxt, which explain themselves there."""

    slots: int
    session_tokens: int
    cache_tokens: int
    max_waiting: int
    prefill_tokens: int
    ngram: int
    draft_tokens: int
    draft_streams: int


class Loop:
    """Runs streams until they end. `submit` may be called by any thread."""

    def __init__(self, graph: Graph, limits: Limits) -> None:
        self._graph = graph
        self._limits = limits
        self._arrived: deque[Stream] = deque()
        self._running: list[Stream] = []
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="decoder", daemon=True)
        self._thread.start()

    def submit(self, stream: Stream) -> None:
        """Let a stream wait for its turn. Raises Problem for one that never fits, or if too many wait."""
        most = min(self._limits.session_tokens, self._limits.cache_tokens)
        if stream.tokens > most:
            raise invalid("input_ids", f"need {stream.tokens} tokens with the new ones, the limit is {most}")
        with self._changed:
            if len(self._arrived) >= self._limits.max_waiting + self._free_slots():
                raise Problem(Kind.FULL, f"exceeds maximum queue size {self._limits.max_waiting}")
            self._arrived.append(stream)
            self._changed.notify()

    def close(self) -> None:
        """End when all streams have ended."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _free_slots(self) -> int:
        return self._limits.slots - len(self._running)

    def _work(self) -> None:
        while self._wait():
            for stream in self._alive():
                self._guarded([stream], stream.check)
            self._admit()
            self._read()
            self._write()

    def _wait(self) -> bool:
        """Until there is something to do; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._running or self._arrived or self._closing)
            return bool(self._running or self._arrived)

    def _alive(self) -> list[Stream]:
        with self._changed:
            return [*self._running, *self._arrived]

    def _admit(self) -> None:
        """Give slots to those that came first, as long as all tokens that they may get fit into the cache."""
        with self._changed:
            while self._arrived and self._free_slots():
                taken = sum(stream.tokens for stream in self._running)
                if taken + self._arrived[0].tokens > self._limits.cache_tokens:
                    break
                stream = self._arrived.popleft()
                stream.slot = min(set(range(self._limits.slots)) - {other.slot for other in self._running})
                self._running.append(stream)

    def _read(self) -> None:
        """A piece of the prompt that came first."""
        stream = next((stream for stream in self._running if stream.reading), None)
        if stream is not None:
            self._guarded([stream], lambda: self._read_piece(stream))

    def _read_piece(self, stream: Stream) -> None:
        piece = stream.unread(self._limits.prefill_tokens)
        added = stream.added(len(piece))
        logits = self._graph.run(stream.slot, *_rows([piece], [stream.cached]), skip=len(piece) - 1, added=added)
        stream.cached += len(piece)
        if not stream.reading:
            self._take(stream, logits[0])

    def _write(self) -> None:
        """A step for each that has a draft, as rows of a common step have one token, and one for all others."""
        drafts = self._drafts()
        for stream, draft in drafts.items():
            self._guarded([stream], partial(self._write_alone, stream, draft))
        others = [stream for stream in self._running if not stream.reading and stream not in drafts]
        if others:
            self._guarded(others, lambda: self._write_together(others))

    def _drafts(self) -> dict[Stream, Sequence[int]]:
        """Of the streams that have one, where few are being written."""
        writing = [stream for stream in self._running if not stream.reading]
        found: dict[Stream, Sequence[int]] = {}

        def draft(stream: Stream) -> None:
            if tokens := stream.draft(self._limits.ngram, self._limits.draft_tokens):
                found[stream] = tokens

        if len(writing) <= self._limits.draft_streams:
            for stream in writing:
                self._guarded([stream], partial(draft, stream))
        return found

    def _write_alone(self, stream: Stream, draft: Sequence[int]) -> None:
        logits = self._graph.run(stream.slot, *_rows([[stream.last, *draft]], [stream.cached]))
        self._take(stream, logits[0], draft)

    def _write_together(self, writing: Sequence[Stream]) -> None:
        """One step over all rows from the first to the last that is needed; what others get is written over later."""
        rows = {stream.slot: stream for stream in self._running}
        needed = [stream.slot for stream in writing]
        slots = range(min(needed), max(needed) + 1)
        tokens = [[rows[slot].last if slot in rows else 0] for slot in slots]
        logits = self._graph.run(slots[0], *_rows(tokens, [rows[slot].cached if slot in rows else 0 for slot in slots]))
        for stream in writing:
            self._guarded([stream], partial(self._take, stream, logits[stream.slot - slots[0]]))

    def _take(self, stream: Stream, logits: Logits, draft: Sequence[int] = ()) -> None:
        if not stream.take(logits, draft):
            self._drop(stream)

    def _guarded(self, streams: Iterable[Stream], work: Callable[[], None]) -> None:
        """What goes wrong ends the streams that it went wrong for, and never the loop."""
        try:
            work()
        except Exception as error:
            problem = error if isinstance(error, Problem) else Problem(Kind.FAILED, f"{type(error).__name__}: {error}")
            for stream in streams:
                self._drop(stream)
                with suppress(Exception):  # nobody may be there to be told
                    stream.reply.fail(problem)

    def _drop(self, stream: Stream) -> None:
        """Let others have its place."""
        with self._changed:
            if stream in self._running:
                self._running.remove(stream)
                self._graph.release(stream.slot)
            elif stream in self._arrived:
                self._arrived.remove(stream)


def _rows(tokens: Sequence[Sequence[int]], cached: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.array(tokens, np.int64), np.array(cached, np.int64)
