"""Text to token ids."""

from searchmesh.text.tokenizer import Tokenized, Tokenizer, Truncation

__all__ = ["Tokenized", "Tokenizer", "Truncation"]
