"""Collections that hold a known list of documents: made once, then found again by the digest in their name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence

from searchmesh.client import AsyncClient, Document, IndexProgress
from searchmesh.client.words import FilterType
from searchmesh.runtime.errors import FailedPrecondition

_DIGITS = 8


async def collection_of(
    client: AsyncClient,
    prefix: str,
    documents: Sequence[Document],
    on_progress: Callable[[IndexProgress], None] = lambda _: None,
    *,
    filter_fields: Mapping[str, FilterType] | None = None,
    fresh: bool = False,
) -> str:
    """The name of a collection ``prefix-digest`` that holds exactly `documents`.

    One that is complete is used as it is, unless `fresh`; one that is not is completed. Collections of that prefix
    with other documents are deleted. Raises FailedPrecondition if a document could not be indexed.
    """
    name = f"{prefix}-{digest(documents)}"
    ours = re.compile(rf"{re.escape(prefix)}-[0-9a-f]{{{_DIGITS}}}")
    counts = {
        collection.name: collection.document_count
        for collection in await client.list_collections()
        if ours.fullmatch(collection.name)
    }
    for other in counts:
        if fresh or other != name:
            await client.delete_collection(other)
    if fresh or name not in counts:
        await client.create_collection(name, filter_fields=filter_fields)
    elif counts[name] == len(documents):
        return name
    async for progress in client.index(name, documents):
        on_progress(progress)
        if progress.errors:
            error = progress.errors[0]
            raise FailedPrecondition(f"document {error.id} could not be indexed: {error.message}")
    return name


def digest(documents: Sequence[Document]) -> str:
    """Hexadecimal digits that change with any document."""
    state = hashlib.blake2b(digest_size=_DIGITS // 2)
    for document in documents:
        fields = [document.id, document.title, document.text, document.metadata]
        state.update(json.dumps(fields, sort_keys=True).encode())
    return state.hexdigest()
