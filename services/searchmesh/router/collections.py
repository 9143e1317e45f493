"""The collections that the router knows: checks, models, and definitions kept at hand for searches."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Set
from dataclasses import dataclass, replace

from searchmesh.router.index import Collection, Index, Space, SpaceName
from searchmesh.router.ports import Embedder
from searchmesh.router.resolver import Resolver
from searchmesh.runtime.deadlines import Deadline
from searchmesh.runtime.errors import AlreadyExists, InvalidArgument

DEFAULT_LANGUAGE = "english"
MAX_FILTER_FIELDS = 64
MAX_FIELD_CHARACTERS = 64

FRESH_S = 1.0
"""Age at which a definition is read again: what another router deleted or made anew is seen within this time, and
searches save a round trip."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Counted:
    """A collection and how many documents it has."""

    collection: Collection
    documents: int


class Collections:
    """Creates, finds and deletes collections. `reserved` are names that mean something else in a search."""

    def __init__(self, index: Index, embedder: Embedder, *, reserved: Set[str] = frozenset()) -> None:
        self._index = index
        self._resolver = Resolver(embedder)
        self._reserved = reserved
        self._known: dict[str, tuple[float, Collection]] = {}

    async def create(self, wanted: Collection, deadline: Deadline) -> Collection:
        """Create a collection, with its models and sizes filled in, or find the same one there already.

        Raises InvalidArgument, AlreadyExists for another one of that name, and what the embedder raises.
        """
        wanted = await self._resolved(self._checked(wanted), deadline)
        collection = replace(wanted, created_at=time.time(), uid=uuid.uuid4().hex[:12])
        try:
            await self._index.create_collection(collection)
        except AlreadyExists:
            existing = await self._index.get_collection(collection.name)
            if replace(collection, created_at=existing.created_at, uid=existing.uid) != existing:
                raise
            return existing
        self._known[collection.name] = (time.monotonic(), collection)
        return collection

    async def get(self, name: str) -> Collection:
        """The definition, at most `FRESH_S` old. Raises NotFound."""
        read_at, collection = self._known.get(name, (0.0, None))
        if collection is not None and time.monotonic() - read_at < FRESH_S:
            return collection
        self._known.pop(name, None)
        collection = await self._index.get_collection(name)
        self._known[name] = (time.monotonic(), collection)
        return collection

    async def counted(self, collection: Collection) -> Counted:
        """The collection with its number of documents."""
        return Counted(collection, await self._index.count(collection))

    async def list(self) -> list[Counted]:
        """All collections, by name."""
        return [await self.counted(collection) for collection in await self._index.list_collections()]

    async def delete(self, name: str) -> int:
        """Delete a collection with its documents; how many there were. Raises NotFound."""
        self._known.pop(name, None)
        return await self._index.delete_collection(await self._index.get_collection(name))

    def _checked(self, wanted: Collection) -> Collection:
        if not _NAME.fullmatch(wanted.name):
            raise InvalidArgument("collection.name", "must be 1 to 64 of the characters A-Z a-z 0-9 _ -")
        if wanted.name in self._reserved:
            raise InvalidArgument("collection.name", f"{wanted.name!r} is the name of a source")
        language = wanted.language or DEFAULT_LANGUAGE
        if language not in self._index.languages:
            known = ", ".join(sorted(self._index.languages))
            raise InvalidArgument("collection.language", f"{language!r} is not known; there are: {known}")
        spaces = wanted.spaces or (Space(SpaceName.TEXT, "", 0),)
        for number, space in enumerate(spaces):
            if space.name not in tuple(SpaceName):
                raise InvalidArgument(
                    f"collection.spaces[{number}].name", f"{space.name!r} is not one of: {', '.join(SpaceName)}"
                )
        if len({space.name for space in spaces}) != len(spaces):
            raise InvalidArgument("collection.spaces", "has two of one name")
        self._check_fields(wanted)
        return replace(wanted, language=language, spaces=spaces)

    def _check_fields(self, wanted: Collection) -> None:
        names = [field.name for field in wanted.filter_fields]
        if len(names) > MAX_FILTER_FIELDS:
            raise InvalidArgument("collection.filter_fields", f"has {len(names)}, the limit is {MAX_FILTER_FIELDS}")
        if len(set(names)) != len(names):
            raise InvalidArgument("collection.filter_fields", "has two of one name")
        for number, name in enumerate(names):
            if not 1 <= len(name) <= MAX_FIELD_CHARACTERS:
                raise InvalidArgument(
                    f"collection.filter_fields[{number}].name", f"must have 1 to {MAX_FIELD_CHARACTERS} characters"
                )

    async def _resolved(self, wanted: Collection, deadline: Deadline) -> Collection:
        spaces = [
            await self._resolver.space(f"collection.spaces[{number}]", space, deadline)
            for number, space in enumerate(wanted.spaces)
        ]
        multi = wanted.multi_vectors
        if multi is not None:
            multi = await self._resolver.multi_vectors("collection.multi_vectors", multi, deadline)
        return replace(wanted, spaces=tuple(spaces), multi_vectors=multi)
