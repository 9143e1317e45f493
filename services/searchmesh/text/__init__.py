"""Text to token ids, and back."""

from searchmesh.text.chunks import Chunk, Chunking, by_ends, by_sentences, by_tokens
from searchmesh.text.spelling import Spelling
from searchmesh.text.tokenizer import Chunked, Shortened, Tokenized, Tokenizer, Truncation

__all__ = [
    "Chunk",
    "Chunked",
    "Chunking",
    "Shortened",
    "Spelling",
    "Tokenized",
    "Tokenizer",
    "Truncation",
    "by_ends",
    "by_sentences",
    "by_tokens",
]
