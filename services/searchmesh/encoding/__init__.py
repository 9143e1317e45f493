"""Tokenise, admit, pack, infer: the way from texts and images to vectors that embedding and reranking share."""

from searchmesh.encoding.encoder import NO_TASK, Encoder
from searchmesh.encoding.encoders import Encoders
from searchmesh.encoding.pool import Context
from searchmesh.encoding.rows import Output, Pictures, Row, Vectors
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.encoding.vision import Prepared, Tiles, Vision

__all__ = [
    "NO_TASK",
    "Context",
    "Encoder",
    "Encoders",
    "EncodingSettings",
    "Output",
    "Pictures",
    "Prepared",
    "Row",
    "Tiles",
    "Vectors",
    "Vision",
]
