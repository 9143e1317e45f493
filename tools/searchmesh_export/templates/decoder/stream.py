"""One text in the making."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .drafting import Drafter
from .guidance import Guide
from .options import Kind, Options, Problem
from .pictures import Pictures
from .sampling import Logits, Sampler


@dataclass(frozen=True, slots=True)
class End:
    """The last thing that is said of a text."""

    finish: str
    """``stop``: the model or the grammar ended it; ``length``: it has `Options.max_new_tokens`."""
    input_tokens: int
    output_tokens: int
    drafted: int
    """Tokens that were drafted."""
    accepted: int
    """Those of them that the model would have written, too."""


class Reply(Protocol):
    """The way back to the client."""

    def send(self, tokens: Sequence[int], end: End | None) -> None:
        """New tokens; with `end` they are the last ones."""
        ...

    def fail(self, problem: Problem) -> None:
        """Nothing follows."""
        ...

    def cancelled(self) -> bool:
        """Whether the client has gone."""
        ...


class Stream:
    """A prompt that is read, and then the text that is written behind it."""

    def __init__(
        self,
        prompt: Sequence[int],
        options: Options,
        guide: Guide | None,
        reply: Reply,
        ends: Set[int],
        pictures: Pictures | None = None,
    ) -> None:
        """`ends` are the tokens by which the model ends a text; `pictures` are those of the prompt."""
        self.slot = -1
        """Row of the cache, once it has one."""
        self.cached = 0
        """How many of its tokens are in the cache. While the text is written, all but the last one."""
        self._given_up = False
        self.reply = reply
        self._ids = list(prompt)
        self._prompt = len(self._ids)
        self._options = options
        self._guide = guide
        self._ends = ends
        self._pictures = pictures
        self._sampler = Sampler(options, self._ids, guide)
        self._drafter: Drafter | None = None
        self._drafted = self._accepted = 0
        self._until = time.monotonic() + options.timeout_ms / 1000 if options.timeout_ms is not None else math.inf

    @property
    def tokens(self) -> int:
        """That it may have in the end."""
        return self._prompt + self._options.max_new_tokens

    @property
    def last(self) -> int:
        """The token that is read next."""
        return self._ids[-1]

    @property
    def reading(self) -> bool:
        """Whether a part of the prompt is still to be read."""
        return self.cached < self._prompt

    def unread(self, most: int) -> list[int]:
        """The next tokens of the prompt."""
        return self._ids[self.cached : min(self.cached + most, self._prompt)]

    def added(self, length: int) -> NDArray[np.float32] | None:
        """What images add to the next tokens of the prompt [1, length, width]; None: nothing."""
        return self._pictures.added(self.cached, length) if self._pictures else None

    def check(self) -> None:
        """Raise Problem if nobody needs the text any more."""
        if time.monotonic() >= self._until:
            raise Problem(Kind.EXPIRED, "the timeout expired")
        if self._given_up or self.reply.cancelled():
            raise Problem(Kind.CANCELLED, "the request was cancelled")

    def cancel(self) -> None:
        """Have it end before the next step. May be called by any thread."""
        self._given_up = True

    def draft(self, ngram: int, most: int) -> list[int]:
        """Tokens that may come next; none where drafting is not wanted or finds none."""
        room = min(most, self.tokens - len(self._ids) - 1)
        if not self._options.draft or room < 1:
            return []
        if self._guide is not None and (forced := self._guide.forced()):
            return list(forced[:room])
        self._drafter = self._drafter or Drafter(self._ids, ngram, most)
        return self._drafter.draft(room)

    def take(self, logits: Logits, draft: Sequence[int] = ()) -> bool:
        """Pick tokens by logits [1 + drafted, vocabulary], as far as the draft is right and one beyond, and send them.

        Returns whether the text goes on.
        """
        new: list[int] = []
        finish = ""
        for row, expected in zip_longest(logits, draft):
            token = self._sampler.pick(row)
            if token in self._ends:
                finish = "stop"
                break
            new.append(token)
            if self._guide is not None and self._guide.accept(token):
                finish = "stop"
            elif len(self._ids) + len(new) == self.tokens:
                finish = "length"
            if finish or token != expected:
                break
        self._ids += new
        self.cached = len(self._ids) - 1
        self._settle(len(draft), sum(map(operator.eq, new, draft)))
        self.reply.send(new, self._end(finish) if finish else None)
        return not finish

    def _settle(self, drafted: int, accepted: int) -> None:
        self._drafted += drafted
        self._accepted += accepted
        if self._drafter is not None and drafted:
            self._drafter.settle(drafted, accepted)

    def _end(self, finish: str) -> End:
        written = len(self._ids) - self._prompt
        return End(finish, self._prompt, written, self._drafted, self._accepted)
