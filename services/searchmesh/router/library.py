"""Documents of collections, as a search needs them: texts first, large parts only where they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from searchmesh.router.index import Collection, Document, Image, Index
from searchmesh.router.retrieval import Key, measured
from searchmesh.runtime.rpc import Call

T = TypeVar("T")

PORTION = 64
"""Large parts that are read at once."""


class Library:
    """The documents of the collections of one search; those of sources came along with their answers."""

    def __init__(
        self, index: Index, collections: Sequence[Collection], known: Mapping[Key, Document], call: Call
    ) -> None:
        self._index = index
        self._collections = {collection.name: collection for collection in collections}
        self._documents: dict[Key, Document | None] = dict(known)
        self._call = call

    def collection(self, key: Key) -> Collection | None:
        """The collection of a document; None for one of a source."""
        return self._collections.get(key[0])

    async def fetch(self, keys: Iterable[Key]) -> dict[Key, Document]:
        """The documents, in the order of `keys`, without the data of images; those deleted meanwhile are left out."""
        keys = list(keys)
        missing = [key for key in keys if key not in self._documents]
        self._documents.update(await self._each(missing, self._index.fetch))
        return {key: document for key in keys if (document := self._documents[key]) is not None}

    async def images(self, images: Mapping[Key, Image], budget: int) -> dict[Key, Image]:
        """The images of documents with their data, as long as that fits into `budget` bytes from the first on. Those
        that do not fit, were deleted meanwhile, or came from a source without their data are left out.
        """
        wanted = {key: images[key] for key in _fitting(images, budget)}
        data = await self._each([key for key, image in wanted.items() if image.unfetched], self._index.image_data)
        wanted |= {key: Image(data=found) for key, found in data.items() if found}
        return {key: image for key, image in wanted.items() if image.data or image.url}

    async def token_vectors(self, keys: Sequence[Key], budget: int) -> dict[Key, bytes | None]:
        """The stored token vectors, from the first on until `budget` bytes are full; None where there are none."""
        found: dict[Key, bytes | None] = {}
        for start in range(0, len(keys), PORTION):
            answer = await self._each(keys[start : start + PORTION], self._index.token_vectors)
            for key in keys[start : start + PORTION]:
                block = answer.get(key)
                budget -= len(block or b"")
                if budget < 0:
                    return found
                found[key] = block
        return found

    async def _each(
        self, keys: Sequence[Key], read: Callable[[Collection, Sequence[str]], Awaitable[Sequence[T]]]
    ) -> dict[Key, T]:
        """What `read` answers for each key, asked once a collection."""
        if not keys:
            return {}
        wanted: dict[str, list[str]] = {}
        for place, id in keys:
            wanted.setdefault(place, []).append(id)
        with measured(self._call, "fetch"):
            answers = await asyncio.gather(*(read(self._collections[place], ids) for place, ids in wanted.items()))
        return {
            (place, id): found
            for (place, ids), answer in zip(wanted.items(), answers, strict=True)
            for id, found in zip(ids, answer, strict=True)
        }


def _fitting(images: Mapping[Key, Image], budget: int) -> Iterator[Key]:
    for key, image in images.items():
        size = image.unfetched or len(image.data)
        if size <= budget:
            budget -= size
            yield key
