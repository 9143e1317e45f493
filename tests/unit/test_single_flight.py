"""Equal inputs at the same time are computed once, and nobody suffers for another caller's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from searchmesh.cache import SingleFlight
from searchmesh.runtime.errors import BackendUnavailable, DeadlineExceeded, InvalidArgument


class Model:
    def __init__(self) -> None:
        self.computed: list[bytes] = []
        self.gate = asyncio.Event()
        self.errors: list[Exception] = []

    def of(self, keys: Sequence[bytes]):
        async def compute(positions: list[int]) -> list[str]:
            self.computed.extend(keys[position] for position in positions)
            await self.gate.wait()
            if self.errors:
                raise self.errors.pop(0)
            return [keys[position].decode() for position in positions]

        return compute


async def _get(flights: SingleFlight[str], model: Model, keys: list[bytes]) -> list[str]:
    return await flights.get(keys, model.of(keys))


async def test_equal_keys_are_computed_once_within_and_across_calls() -> None:
    flights: SingleFlight[str] = SingleFlight()
    model = Model()
    calls = [asyncio.create_task(_get(flights, model, keys)) for keys in ([b"a", b"b", b"a"], [b"b", b"c"])]
    await asyncio.sleep(0)
    model.gate.set()
    assert await asyncio.gather(*calls) == [["a", "b", "a"], ["b", "c"]]
    assert sorted(model.computed) == [b"a", b"b", b"c"]


async def test_followers_go_on_when_the_leader_is_cancelled() -> None:
    flights: SingleFlight[str] = SingleFlight()
    model = Model()
    leader = asyncio.create_task(_get(flights, model, [b"a"]))
    await asyncio.sleep(0)
    follower = asyncio.create_task(_get(flights, model, [b"a"]))
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.sleep(0)
    model.gate.set()
    assert await follower == ["a"]
    assert model.computed == [b"a", b"a"]


async def test_followers_go_on_when_the_leaders_deadline_passes() -> None:
    flights: SingleFlight[str] = SingleFlight()
    model = Model()
    model.errors = [DeadlineExceeded("late")]
    leader = asyncio.create_task(_get(flights, model, [b"a"]))
    await asyncio.sleep(0)
    follower = asyncio.create_task(_get(flights, model, [b"a"]))
    await asyncio.sleep(0)
    model.gate.set()
    with pytest.raises(DeadlineExceeded):
        await leader
    assert await follower == ["a"]


async def test_a_bad_input_of_the_leader_is_not_the_followers() -> None:
    flights: SingleFlight[str] = SingleFlight()
    model = Model()
    model.errors = [InvalidArgument("inputs[1]", "is too long")]
    leader = asyncio.create_task(_get(flights, model, [b"good", b"bad"]))
    await asyncio.sleep(0)
    follower = asyncio.create_task(_get(flights, model, [b"good"]))
    await asyncio.sleep(0)
    model.gate.set()
    with pytest.raises(InvalidArgument):
        await leader
    assert await follower == ["good"]


async def test_a_failure_of_the_backend_is_everybodys() -> None:
    flights: SingleFlight[str] = SingleFlight()
    model = Model()
    model.errors = [BackendUnavailable("down")]
    calls = [asyncio.create_task(_get(flights, model, [b"a"])) for _ in range(3)]
    await asyncio.sleep(0)
    model.gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, BackendUnavailable) for outcome in outcomes)
    assert model.computed == [b"a"]


async def test_a_cancelled_follower_leaves_the_leader_alone() -> None:
    flights: SingleFlight[str] = SingleFlight()
    model = Model()
    leader = asyncio.create_task(_get(flights, model, [b"a"]))
    await asyncio.sleep(0)
    follower = asyncio.create_task(_get(flights, model, [b"a"]))
    await asyncio.sleep(0)
    follower.cancel()
    await asyncio.sleep(0)
    model.gate.set()
    assert await leader == ["a"]
