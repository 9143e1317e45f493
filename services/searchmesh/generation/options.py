"""How a text is to be written."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.triton import Tensor

MOST_STOPS = 16
MOST_STOP_CHARACTERS = 256
MOST_GRAMMAR_BYTES = 64 * 1024

_RANGES = {
    "temperature": (0.0, 10.0),
    "top_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 10.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are greedy decoding until the model ends the text."""

    max_new_tokens: int
    temperature: float = 0.0
    """0: the token with the highest logit."""
    top_k: int = 0
    """Choose among so many tokens with the highest logits; 0: among all."""
    top_p: float = 1.0
    """Choose among the fewest tokens that have this probability together."""
    repetition_penalty: float = 1.0
    """Divides positive logits, and multiplies negative ones, of tokens that the prompt or the text has (arXiv
    1909.05858)."""
    frequency_penalty: float = 0.0
    """Taken off a token's logit for each time that the text has it."""
    presence_penalty: float = 0.0
    """Taken off once if the text has it at all."""
    seed: int | None = None
    """The same one gives the same text; None: chance."""
    stop: tuple[str, ...] = ()
    """Strings before the first of which the text ends."""
    json_schema: str = ""
    """The text satisfies it, unless it ends for its length; empty: anything."""
    regex: str = ""
    """The text matches it as a whole, unless it ends for its length."""
    draft: bool = True
    """Whether tokens may be drafted from the prompt, which pays where the text copies from it. The text is the same."""

    def check(self, field: Callable[[str], str] = lambda name: name) -> None:
        """Raise InvalidArgument for a value out of range; `field` is the path of an option in the request."""
        if self.max_new_tokens < 1:
            raise InvalidArgument(field("max_new_tokens"), f"is {self.max_new_tokens}, the least is 1")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most) or (name == "top_p" and value == 0):
                raise InvalidArgument(field(name), f"is {value:g}, it has to be from {least:g} to {most:g}")
        for name in ("top_k", "seed"):
            if (getattr(self, name) or 0) < 0:
                raise InvalidArgument(field(name), f"is {getattr(self, name)}, the least is 0")
        self._check_stops(field("stop"))
        for name in ("json_schema", "regex"):
            if (size := len(getattr(self, name).encode())) > MOST_GRAMMAR_BYTES:
                raise InvalidArgument(field(name), f"has {size} bytes, the limit is {MOST_GRAMMAR_BYTES}")
        if self.json_schema and self.regex:
            raise InvalidArgument(field("regex"), "is there beside a json_schema")

    def _check_stops(self, field: str) -> None:
        if len(self.stop) > MOST_STOPS:
            raise InvalidArgument(field, f"has {len(self.stop)} strings, the limit is {MOST_STOPS}")
        for number, stop in enumerate(self.stop):
            if not 0 < len(stop) <= MOST_STOP_CHARACTERS:
                problem = f"has {len(stop)} characters, it has to be from 1 to {MOST_STOP_CHARACTERS}"
                raise InvalidArgument(f"{field}[{number}]", problem)

    def to_tensor(self, deadline: Deadline) -> Tensor:
        """UINT8, JSON, as exported decoders read it. Stop strings are left out: tokens know nothing of them."""
        names = [name for name in self.__slots__ if name != "stop"]
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        if (remaining := deadline.remaining_s()) is not None:
            values["timeout_ms"] = max(1, round(remaining * 1000))
        return np.frombuffer(json.dumps(values).encode(), np.uint8)
