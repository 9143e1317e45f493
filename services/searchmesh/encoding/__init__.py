"""Tokenise, admit, pack, infer: the way from texts and images to vectors that embedding and reranking share."""

from searchmesh.encoding.encoder import NO_TASK, Encoder
from searchmesh.encoding.encoders import Encoders
from searchmesh.encoding.image_reader import Held, ImageReader
from searchmesh.encoding.pool import Context
from searchmesh.encoding.rows import Output, Pictures, Row, Vectors
from searchmesh.encoding.settings import EncodingSettings
from searchmesh.encoding.vision import Prepared, Seen, Tiles, Vision

__all__ = [
    "NO_TASK",
    "Context",
    "Encoder",
    "Encoders",
    "EncodingSettings",
    "Held",
    "ImageReader",
    "Output",
    "Pictures",
    "Prepared",
    "Row",
    "Seen",
    "Tiles",
    "Vectors",
    "Vision",
]
