"""A request of the wire as what a scorer is asked, checked against limits and against what its model can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from searchmesh.encoding import Context
from searchmesh.encoding.requests import check_content, check_contents, lane_of, only_text, truncation_of
from searchmesh.reranker.inputs import document_field
from searchmesh.reranker.scorer import Abilities, Ask, Content
from searchmesh.reranker.settings import RerankerSettings
from searchmesh.reranker.stored import StoredVectors
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.runtime.rpc import Call
from searchmesh.text import Truncation
from searchmesh.v1 import reranker_pb2

Request = reranker_pb2.RerankRequest


def ask_of(request: Request, model: str, abilities: Abilities, settings: RerankerSettings, call: Call) -> Ask:
    """The ask. Raises InvalidArgument, naming the field, for what is wrong, what is too much, and what the model cannot
    do.
    """
    _check_abilities(request, model, abilities)
    stored = _stored(request, settings)
    query = check_content("query", request.query, settings)
    documents = [] if stored else check_contents("documents", request.documents, settings)
    _check_images(query, documents, abilities, settings)
    instruction = request.instruction.strip()
    _check_bytes([query, *documents, instruction], settings.max_request_text_bytes)
    return Ask(
        query,
        documents,
        truncation_of(request.truncation, Truncation.END),
        Context(lane_of(request.lane), call.deadline, call.stages),
        instruction,
        stored,
    )


def _check_abilities(request: Request, model: str, abilities: Abilities) -> None:
    if request.instruction and not abilities.instruction:
        raise InvalidArgument("instruction", f"{model} reads no instruction")
    if request.HasField("document_vectors") and abilities.vectors != "tokens":
        raise InvalidArgument("document_vectors", f"{model} scores no token vectors")
    if request.return_document_vectors and abilities.vectors == "none":
        raise InvalidArgument("return_document_vectors", f"{model} has no vectors of documents")


def _stored(request: Request, settings: RerankerSettings) -> StoredVectors | None:
    if not request.HasField("document_vectors"):
        return None
    stored = StoredVectors.from_proto(request.document_vectors, max_documents=settings.max_inputs)
    documents, blocks = len(request.documents), len(stored.counts)
    if documents not in (0, blocks):
        raise InvalidArgument("documents", f"has {documents} entries, document_vectors are of {blocks}")
    if request.return_documents and not documents:
        raise InvalidArgument("return_documents", "needs documents; the request has their vectors only")
    if request.return_document_vectors:
        raise InvalidArgument("return_document_vectors", "are what the request brings")
    return stored


def _check_images(
    query: Content, documents: Sequence[Content], abilities: Abilities, settings: RerankerSettings
) -> None:
    contents: Mapping[str, Content] = {"query": query} | {
        document_field(place): document for place, document in enumerate(documents)
    }
    if not abilities.images:
        for field, content in contents.items():
            only_text(field, content)
    images = sum(not isinstance(content, str) for content in contents.values())
    if images > settings.max_images:
        raise InvalidArgument("documents", f"have {images} images with the query, the limit is {settings.max_images}")


def _check_bytes(contents: Sequence[Content], limit: int) -> None:
    texts = [content for content in contents if isinstance(content, str)]
    # A character has at most four bytes, so most texts need no second look.
    if 4 * sum(map(len, texts)) > limit and (size := sum(len(text.encode()) for text in texts)) > limit:
        raise InvalidArgument("documents", f"have {size} bytes of text with the query, the limit is {limit}")
