"""The index in Redis with the search module: HNSW, BM25 and filters over one hash a document."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from searchmesh.router.index.analysis import LANGUAGES, analyser
from searchmesh.router.index.filters import Filter
from searchmesh.router.index.protocol import Collection, Document, Match, Record, Vector
from searchmesh.router.index.redis_client import Command, RedisClient
from searchmesh.router.index.redis_query import dense_command, lexical_command
from searchmesh.router.index.redis_schema import (
    COLLECTIONS,
    CONTENT_HASH,
    DOCUMENT,
    DROPPED,
    IMAGE_DATA,
    TOKEN_VECTORS,
    create_command,
    definition_from_json,
    definition_to_json,
    document_of,
    index_name,
    key_prefix,
    write_commands,
)
from searchmesh.runtime.errors import AlreadyExists, NotFound

MAX_QUERY_CHARACTERS = 16_384
"""Of a query, lexical search reads this much from the beginning."""

MAX_QUERY_TERMS = 32
"""Different terms of a query that are searched, from the beginning: the time grows with them. Over 5,183 abstracts
the median was 0.7 ms with the 10 or so terms of a claim, 3 ms with 64."""

RECORDS_PER_ROUND_TRIP = 8
"""Redis adds a document in about 0.3 ms and the router prepares it in about as much: between two portions of this
size both turn to searches."""

KEYS_PER_SWEEP = 500
"""Keys of a deleted collection that are unlinked at once."""


class RedisIndex:
    """See `Index`. Needs Redis 8, or 7 with RediSearch 2.8 or later."""

    languages = LANGUAGES

    def __init__(self, url: str, *, read_timeout_s: float, write_timeout_s: float) -> None:
        self._redis = RedisClient(url, read_timeout_s=read_timeout_s, write_timeout_s=write_timeout_s)
        # One portion of records at a time, from analysing to writing: neither this process nor Redis gains anything
        # from several, and searches would queue behind all of them.
        self._writing = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.close()

    async def open(self) -> None:
        """Return if Redis answers and has the search module; finishes deletions that were cut short."""
        await self._redis.read("FT._LIST")
        for prefix in await self._redis.read("SMEMBERS", DROPPED):
            await self._sweep(prefix.decode())

    async def create_collection(self, collection: Collection) -> None:
        """The index comes first: a definition that can be read has an index."""
        await self._redis.write(*create_command(collection))
        if not await self._redis.write("HSETNX", COLLECTIONS, collection.name, definition_to_json(collection)):
            await self._redis.write("FT.DROPINDEX", index_name(collection))
            raise AlreadyExists(f"there is a collection {collection.name!r} already")

    async def get_collection(self, name: str) -> Collection:
        """Raises NotFound."""
        definition = await self._redis.read("HGET", COLLECTIONS, name)
        if definition is None:
            raise NotFound(f"there is no collection {name!r}", reason="COLLECTION_NOT_FOUND")
        return definition_from_json(definition)

    async def list_collections(self) -> list[Collection]:
        """All, by name."""
        definitions = await self._redis.read("HVALS", COLLECTIONS)
        return sorted((definition_from_json(definition) for definition in definitions), key=lambda known: known.name)

    async def delete_collection(self, collection: Collection) -> int:
        """From the second command on the name is free; the documents go in portions, so that searches get through."""
        await self._check_is_there(collection)
        count = await self.count(collection)
        prefix = key_prefix(collection)
        await self._redis.write_all([["HDEL", COLLECTIONS, collection.name], ["SADD", DROPPED, prefix]], atomic=True)
        await self._sweep(prefix)
        return count

    async def count(self, collection: Collection) -> int:
        """How many documents it has."""
        info = await self._redis.read("FT.INFO", index_name(collection))
        return int(info[info.index(b"num_docs") + 1])

    async def upsert(self, collection: Collection, records: Sequence[Record]) -> None:
        """Write the records in portions; afterwards make sure that the collection is still there."""
        terms = analyser(collection.language)
        for start in range(0, len(records), RECORDS_PER_ROUND_TRIP):
            commands: list[Command] = []
            async with self._writing:
                for record in records[start : start + RECORDS_PER_ROUND_TRIP]:
                    commands += write_commands(collection, record, terms)
                    await asyncio.sleep(0)
                await self._redis.write_all(commands)
        try:
            await self._check_is_there(collection)
        except NotFound:
            await self.delete(collection, [record.document.id for record in records])
            raise

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Delete documents; how many there were."""
        prefix = key_prefix(collection)
        return int(await self._redis.write("UNLINK", *(prefix + id for id in ids))) if ids else 0

    async def fetch(self, collection: Collection, ids: Sequence[str]) -> list[Document | None]:
        """The documents, in the order of `ids`; None for those that are not there. Data of images is left out."""
        prefix = key_prefix(collection)
        replies = await self._redis.read_all([["HMGET", prefix + id, *DOCUMENT] for id in ids])
        return [document_of(id, reply) for id, reply in zip(ids, replies, strict=True)]

    async def image_data(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """What `fetch` left out, in the order of `ids`; None where there is no such document or data."""
        return await self._field(IMAGE_DATA, collection, ids)

    async def token_vectors(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """The token vectors of the records, in the order of `ids`; None for documents without."""
        return await self._field(TOKEN_VECTORS, collection, ids)

    async def content_hashes(self, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        """The hashes that the records were written with, in the order of `ids`."""
        return await self._field(CONTENT_HASH, collection, ids)

    async def _field(self, name: str, collection: Collection, ids: Sequence[str]) -> list[bytes | None]:
        prefix = key_prefix(collection)
        return await self._redis.read_all([["HGET", prefix + id, name] for id in ids])

    async def dense(
        self, collection: Collection, space: str, vector: Vector, k: int, filter: Filter | None = None
    ) -> list[Match]:
        """Up to `k` approximate nearest neighbours among those with a vector; best first, the score is the cosine."""
        reply = await self._redis.read(*dense_command(collection, space, vector, k, filter))
        start = len(key_prefix(collection).encode())
        return [
            Match(key[start:].decode(), 1.0 - float(distance[1:]))
            for key, distance in zip(reply[1::2], reply[2::2], strict=True)
        ]

    async def lexical(self, collection: Collection, query: str, k: int, filter: Filter | None = None) -> list[Match]:
        """Up to `k` documents with at least one term of the query, best first; the score is BM25."""
        terms = analyser(collection.language).query_terms(query[:MAX_QUERY_CHARACTERS], MAX_QUERY_TERMS)
        if not terms:
            return []
        reply = await self._redis.read(*lexical_command(collection, terms, k, filter))
        start = len(key_prefix(collection).encode())
        return [Match(key[start:].decode(), float(score)) for key, score in zip(reply[1::2], reply[2::2], strict=True)]

    async def _check_is_there(self, collection: Collection) -> None:
        if (await self.get_collection(collection.name)).uid != collection.uid:
            raise NotFound(f"the collection {collection.name!r} has been replaced", reason="COLLECTION_NOT_FOUND")

    async def _sweep(self, prefix: str) -> None:
        with suppress(NotFound):
            await self._redis.write("FT.DROPINDEX", prefix.removesuffix(":"))
        cursor: Any = 0
        while True:
            cursor, keys = await self._redis.read("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", KEYS_PER_SWEEP)
            if keys:
                await self._redis.write("UNLINK", *keys)
            if int(cursor) == 0:
                break
        await self._redis.write("SREM", DROPPED, prefix)
