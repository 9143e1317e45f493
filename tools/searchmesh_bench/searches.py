"""Searches that are measured: one that was degraded would be measured as what it is not."""

from __future__ import annotations

from typing import Any

from searchmesh.client import AsyncClient, SearchResult
from searchmesh.runtime.errors import Unavailable


async def complete_search(client: AsyncClient, collection: str, query: str, **options: Any) -> SearchResult:
    """`AsyncClient.search`, but Unavailable if a stage failed or was late."""
    result = await client.search(collection, query, **options)
    if result.degraded:
        stage = result.degraded[0]
        raise Unavailable(f"a search was degraded: {stage.stage}: {stage.message}", reason=stage.reason)
    return result
