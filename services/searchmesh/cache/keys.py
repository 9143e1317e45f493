"""What makes two inputs the same for the cache."""

from __future__ import annotations

from hashlib import blake2b

SCHEMA_VERSION = 2
"""Raise it when the meaning of a key or the format of an entry changes: old entries are then never met again."""


class KeySpace:
    """Keys of the inputs of one (model, task, output, truncation): all that changes a vector besides the input.

    Dimensions and dtype are not part of it: they are cut from the full vector on read.
    """

    __slots__ = ("_hash",)

    def __init__(self, *, model_digest: str, tokenizer_digest: str, task: str, output: str, truncation: str) -> None:
        self._hash = blake2b(digest_size=32)
        for part in (str(SCHEMA_VERSION), model_digest, tokenizer_digest, task, output, truncation):
            data = part.encode()
            # Lengths keep ("ab", "c") and ("a", "bc") apart.
            self._hash.update(len(data).to_bytes(4, "little") + data)

    def key(self, content: bytes) -> bytes:
        """The 32-byte key of an input's exact bytes."""
        hash_ = self._hash.copy()
        hash_.update(content)
        return hash_.digest()
