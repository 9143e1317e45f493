"""Collections of known documents: made once, found again, completed, replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from searchmesh.client import AsyncClient, Collection, Document, DocumentError, IndexProgress
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh_bench.corpora import collection_of, digest

DOCUMENTS = [Document("a", "one", "A", {"kind": "first"}), Document("b", "two")]


class Router:
    """Collections in memory, with the client's methods."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[str, Document]] = {}
        self.streams = 0
        self.refused: set[str] = set()

    async def list_collections(self) -> tuple[Collection, ...]:
        now = datetime.now(UTC)
        return tuple(Collection(name, (), "", "english", {}, len(kept), now) for name, kept in self.kept.items())

    async def create_collection(self, name: str, *, filter_fields: Mapping[str, Any] | None) -> None:
        assert name not in self.kept
        self.kept[name] = {}

    async def delete_collection(self, name: str) -> None:
        del self.kept[name]

    async def index(self, name: str, documents: Iterable[Document]) -> AsyncIterator[IndexProgress]:
        self.streams += 1
        for position, document in enumerate(documents):
            if document.id in self.refused:
                yield IndexProgress(errors=(DocumentError(position, document.id, "INTERNAL", "no"),))
            else:
                self.kept[name][document.id] = document
                yield IndexProgress(acknowledged=position + 1)


@pytest.fixture
def router() -> Router:
    return Router()


async def prepared(router: Router, documents: list[Document] = DOCUMENTS, **options: Any) -> str:
    return await collection_of(cast(AsyncClient, router), "docs", documents, **options)


async def test_a_collection_is_made_with_all_documents_and_progress_is_told(router: Router) -> None:
    seen: list[int] = []
    name = await prepared(router, on_progress=lambda progress: seen.append(progress.acknowledged))
    assert name == f"docs-{digest(DOCUMENTS)}"
    assert list(router.kept[name].values()) == DOCUMENTS
    assert seen == [1, 2]


async def test_the_same_documents_find_their_collection_again(router: Router) -> None:
    name = await prepared(router)
    assert await prepared(router) == name
    assert router.streams == 1


async def test_a_collection_that_is_not_complete_is_completed(router: Router) -> None:
    name = await prepared(router)
    del router.kept[name]["b"]
    await prepared(router)
    assert set(router.kept[name]) == {"a", "b"}


async def test_other_documents_replace_the_collection(router: Router) -> None:
    old = await prepared(router)
    new = await prepared(router, [*DOCUMENTS, Document("c", "three")])
    assert set(router.kept) == {new} != {old}


async def test_a_fresh_one_is_indexed_again(router: Router) -> None:
    await prepared(router)
    await prepared(router, fresh=True)
    assert router.streams == 2
    assert len(router.kept) == 1


async def test_collections_of_others_are_left_alone(router: Router) -> None:
    others = {"docs": {}, "docs-mine": {}, "docs-old-0a1b2c3d": {}, "other-0a1b2c3d": {}}
    router.kept.update(others)
    await prepared(router)
    assert set(others) < set(router.kept)


async def test_a_document_that_cannot_be_indexed_is_named(router: Router) -> None:
    router.refused = {"b"}
    with pytest.raises(FailedPrecondition, match="document b could not be indexed: no"):
        await prepared(router)


def test_the_digest_changes_with_every_field() -> None:
    document = DOCUMENTS[0]
    variants = [
        [document],
        [replace(document, id="x")],
        [replace(document, title="x")],
        [replace(document, text="x")],
        [replace(document, metadata={"kind": "x"})],
        [document, document],
        [],
    ]
    assert len({digest(documents) for documents in variants}) == len(variants)
