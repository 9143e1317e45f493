"""Texts that satisfy a grammar: tokens that would break it get no chance."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import llguidance
import numpy as np
from numpy.typing import NDArray

from .options import Kind, Options, Problem, invalid

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_JSON: JsonCompileOptions = {"whitespace_pattern": r"[\x20\x0A\x0D\x09]{0,32}"}
"""Room for line breaks and indentation, but not for a model that gets stuck in them."""


class Guide:
    """The grammar of one text, at the place that the text has reached."""

    def __init__(self, matcher: llguidance.LLMatcher) -> None:
        self._matcher = matcher

    def mask(self, logits: NDArray[np.float32]) -> None:
        """Leave only tokens that may come next."""
        allowed = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        bits = np.unpackbits(allowed, bitorder="little")[: len(logits)]
        logits[: len(bits)][bits == 0] = -np.inf
        logits[len(bits) :] = -np.inf
        self._check()

    def forced(self) -> Sequence[int]:
        """Tokens without an alternative that come next, likely in this spelling."""
        return self._matcher.compute_ff_tokens()

    def accept(self, token: int) -> bool:
        """Go on to the next place; whether the text is complete, and can only end."""
        self._matcher.consume_token(token)
        self._check()
        return self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise Problem(Kind.FAILED, f"the grammar cannot be followed: {self._matcher.get_error()}")


class Guides:
    """Makes guides. Thread-safe."""

    def __init__(self, tokenizer: Path, vocabulary: int, ends: frozenset[int]) -> None:
        self._file = tokenizer
        self._vocabulary = vocabulary
        self._ends = ends
        self._tokenizer: llguidance.LLTokenizer | None = None
        self._lock = threading.Lock()

    def of(self, options: Options) -> Guide | None:
        """The guide of a request that wants one. Raises Problem for a grammar that cannot be compiled."""
        if options.json_schema:
            field = "json_schema"
            try:
                grammar = llguidance.LLMatcher.grammar_from_json_schema(options.json_schema, defaults=_JSON)
            except ValueError as error:
                raise invalid(field, str(error)) from error
        elif options.regex:
            field, grammar = "regex", llguidance.LLMatcher.grammar_from_regex(options.regex)
        else:
            return None
        matcher = llguidance.LLMatcher(self._vocabulary_of_grammars(), grammar, log_level=0)
        if matcher.is_error():
            raise invalid(field, f"cannot be followed: {matcher.get_error()}")
        return Guide(matcher)

    def _vocabulary_of_grammars(self) -> llguidance.LLTokenizer:
        """Made when it is first needed: for 150,000 tokens it takes a second."""
        with self._lock:
            if self._tokenizer is None:
                self._tokenizer = llguidance.LLTokenizer(
                    self._file.read_text(encoding="utf-8"), n_vocab=self._vocabulary, eos_token=sorted(self._ends)
                )
            return self._tokenizer
