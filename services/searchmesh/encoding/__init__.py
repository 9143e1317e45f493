"""Tokenise, admit, pack, infer: the way from texts to vectors that embedding and reranking share."""

from searchmesh.encoding.encoder import Encoded, Encoder, Output
from searchmesh.encoding.encoders import Encoders
from searchmesh.encoding.settings import EncodingSettings

__all__ = ["Encoded", "Encoder", "Encoders", "EncodingSettings", "Output"]
