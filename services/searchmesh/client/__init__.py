"""The Python client of the mesh. `AsyncClient` for asyncio, `Client` for everything else; errors are those of
`searchmesh.runtime.errors`.
"""

from searchmesh.client.aio import AsyncClient
from searchmesh.client.asking import Answer, AnswerFinished, AskEvent, AskOptions, Message
from searchmesh.client.collections import Collection, MultiVectors, VectorSpace
from searchmesh.client.contents import Content, Image
from searchmesh.client.documents import Document, DocumentError, IndexProgress
from searchmesh.client.embeddings import Chunk, EmbeddedBatch, Embeddings, InputInfo
from searchmesh.client.filters import Filter, number, tag
from searchmesh.client.models import Model, ServiceName
from searchmesh.client.reading import (
    PageImage,
    PageInfo,
    PageLink,
    ReadEvent,
    ReadFinished,
    Reading,
    ReadOptions,
    ReadStarted,
)
from searchmesh.client.reranking import RankedDocument, Ranking
from searchmesh.client.searching import Degradation, Fusion, Hit, RerankOptions, Route, SearchResult
from searchmesh.client.settings import ClientSettings
from searchmesh.client.sync import Client
from searchmesh.client.token_vectors import TokenVectors
from searchmesh.client.words import (
    DType,
    FilterType,
    FinishReason,
    FusionMethod,
    Lane,
    ReadEngine,
    ReadFormat,
    Retention,
    SearchMode,
    Truncation,
)

__all__ = [
    "Answer",
    "AnswerFinished",
    "AskEvent",
    "AskOptions",
    "AsyncClient",
    "Chunk",
    "Client",
    "ClientSettings",
    "Collection",
    "Content",
    "DType",
    "Degradation",
    "Document",
    "DocumentError",
    "EmbeddedBatch",
    "Embeddings",
    "Filter",
    "FilterType",
    "FinishReason",
    "Fusion",
    "FusionMethod",
    "Hit",
    "Image",
    "IndexProgress",
    "InputInfo",
    "Lane",
    "Message",
    "Model",
    "MultiVectors",
    "PageImage",
    "PageInfo",
    "PageLink",
    "RankedDocument",
    "Ranking",
    "ReadEngine",
    "ReadEvent",
    "ReadFinished",
    "ReadFormat",
    "ReadOptions",
    "ReadStarted",
    "Reading",
    "RerankOptions",
    "Retention",
    "Route",
    "SearchMode",
    "SearchResult",
    "ServiceName",
    "TokenVectors",
    "Truncation",
    "VectorSpace",
    "number",
    "tag",
]
