"""Models of one service on several tritonservers."""

from __future__ import annotations

import numpy as np
import pytest

from searchmesh.encoding.settings import EncodingSettings
from searchmesh.runtime.deadlines import Deadline
from searchmesh.triton import TritonPools
from searchmesh.triton.fake import FakeBackend


class Pool(FakeBackend):
    """A fake that knows its address and whether it was closed."""

    made: dict[str, Pool]

    def __init__(self, address: str) -> None:
        super().__init__()
        self.closed = False
        self.made[address] = self

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def made() -> dict[str, Pool]:
    Pool.made = {}
    return Pool.made


async def test_each_model_is_asked_of_the_pool_that_has_it(made: dict[str, Pool]) -> None:
    pools = TritonPools("first", {"code": "second", "vision": "second"}, Pool)
    ids = np.ones((1, 4), dtype=np.int64)
    tensors = {"input_ids": ids, "attention_mask": ids}
    for model in ("text", "code", "vision", "code"):
        await pools.infer(model, tensors, ["token_embeddings"], deadline=Deadline.after(5))
    assert {address: len(pool.shapes) for address, pool in made.items()} == {"first": 1, "second": 3}
    streamed = [answer async for answer in pools.stream("code", {"input_ids": ids}, ["id"], deadline=Deadline.after(5))]
    assert len(streamed) == 4
    assert await pools.ready("vision")
    await pools.close()
    assert all(pool.closed for pool in made.values())


def test_routes_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHMESH_TRITON_ROUTES", "code=dns:///code:8001, vision=dns:///vision:8001")
    assert EncodingSettings().triton_routes == {"code": "dns:///code:8001", "vision": "dns:///vision:8001"}


@pytest.mark.parametrize("value", ["code", "code=", "=dns:///code:8001"])
def test_a_route_without_model_or_address_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SEARCHMESH_TRITON_ROUTES", value)
    with pytest.raises(ValueError, match="is not model=address"):
        EncodingSettings()
