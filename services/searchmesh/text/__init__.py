"""Text to token ids."""

from searchmesh.text.chunks import Chunk, Chunking, by_ends, by_sentences, by_tokens
from searchmesh.text.tokenizer import Chunked, Shortened, Tokenized, Tokenizer, Truncation

__all__ = [
    "Chunk",
    "Chunked",
    "Chunking",
    "Shortened",
    "Tokenized",
    "Tokenizer",
    "Truncation",
    "by_ends",
    "by_sentences",
    "by_tokens",
]
