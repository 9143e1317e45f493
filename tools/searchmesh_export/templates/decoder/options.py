"""What a request asks for, and the errors that it may get."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any


class Kind(Enum):
    """What went wrong, for whoever has to tell the client."""

    INVALID = "invalid"
    FULL = "full"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Problem(Exception):
    """Ends one request, and no other."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def invalid(field: str, problem: str) -> Problem:
    """The error of a request that is wrong."""
    return Problem(Kind.INVALID, f"{field}: {problem}")


@dataclass(frozen=True, slots=True)
class Options:
    """How to decode. The defaults are greedy decoding until the model ends the text."""

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
    json_schema: str = ""
    """The text satisfies it; empty: anything."""
    regex: str = ""
    """The text matches it as a whole."""
    draft: bool = True
    """Whether tokens may be drafted from what was read. That changes how fast the text comes, not the text."""
    timeout_ms: int | None = None

    @classmethod
    def parse(cls, content: bytes) -> Options:
        """From a JSON object with the names above. Raises Problem for what is not one."""
        try:
            values = json.loads(content)
            if not isinstance(values, dict):
                raise TypeError("not an object")
            options = cls(**values)
        except (ValueError, TypeError) as error:
            raise invalid("options", f"cannot be read: {error}") from error
        for field in fields(cls):
            value = values.get(field.name)
            if value is not None and not _fits(value, str(field.type)):
                raise invalid(field.name, f"is {value!r} and should be {field.type}")
        options._check()
        return options

    def _check(self) -> None:
        for field, holds, rule in (
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("top_k", self.top_k >= 0, "0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("seed", self.seed is None or self.seed >= 0, "0 or more"),
            ("regex", not (self.regex and self.json_schema), "absent where there is a json_schema"),
        ):
            if not holds:
                raise invalid(field, f"is {getattr(self, field)} and has to be {rule}")


def _fits(value: Any, kind: str) -> bool:
    match kind.split(" | ")[0]:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        case "bool":
            return isinstance(value, bool)
    return isinstance(value, str)
