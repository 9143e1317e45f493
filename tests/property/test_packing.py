"""What must always hold of the shape ladder and the scheduler."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searchmesh.batching import Batch, Ladder, Lane, Limits, Scheduler
from searchmesh.runtime.deadlines import Deadline

ladders = st.builds(
    Ladder,
    st.integers(9, 9000),
    max_batch_tokens=st.integers(16, 20_000),
    max_rows=st.integers(1, 128),
    steps=st.integers(1, 16),
)


@dataclass(frozen=True)
class Text:
    mark: int
    tokens: int
    kind: str = "out"


@given(ladders, st.data())
def test_every_row_has_a_padded_length_that_fits_and_wastes_at_most_a_fifth(
    ladder: Ladder, data: st.DataObject
) -> None:
    tokens = data.draw(st.integers(1, ladder.lengths[-1]))
    length = ladder.length(tokens)
    assert length in ladder.lengths
    assert tokens <= length
    shorter = [step for step in ladder.lengths if step < length]
    assert not shorter or shorter[-1] < tokens


@given(ladders, st.data())
def test_a_batch_stays_within_the_budget_and_the_shapes(ladder: Ladder, data: st.DataObject) -> None:
    length = data.draw(st.sampled_from(ladder.lengths))
    count, padded = ladder.take(data.draw(st.integers(1, 500)), length)
    assert 1 <= count <= padded
    assert padded == 1 or padded * length <= ladder.max_batch_tokens
    assert (padded, length) in set(ladder.shapes())


@given(ladders)
def test_the_set_of_shapes_is_small(ladder: Ladder) -> None:
    assert len(set(ladder.shapes())) == len(list(ladder.shapes())) <= 16 * 11 * 14


def test_a_row_above_the_top_is_refused() -> None:
    with pytest.raises(ValueError, match="exceed"):
        Ladder(512, max_batch_tokens=1024, max_rows=8).length(513)


@settings(max_examples=50, deadline=None)
@given(
    requests=st.lists(st.tuples(st.lists(st.integers(1, 64), min_size=1, max_size=20), st.booleans()), max_size=12),
    slots=st.integers(1, 4),
)
def test_every_row_is_answered_once_in_order_and_never_over_budget(
    requests: list[tuple[list[int], bool]], slots: int
) -> None:
    ladder = Ladder(64, max_batch_tokens=256, max_rows=16)
    limits = Limits(slots=slots, bulk_slots=max(1, slots - 1))
    running: Counter[Lane] = Counter()

    async def run(batch: Batch[Text]) -> list[int]:
        running[batch.lane] += 1
        assert running.total() <= limits.slots
        assert running[Lane.BULK] <= limits.bulk_slots
        assert batch.padded_rows == 1 or batch.padded_rows * batch.length <= 256
        assert all(item.tokens <= batch.length for item in batch.items)
        await asyncio.sleep(0)
        running[batch.lane] -= 1
        return [item.mark for item in batch.items]

    async def main() -> None:
        scheduler: Scheduler[Text, int] = Scheduler("test", ladder, run, limits)
        marks = iter(range(10_000))
        inputs = [[Text(next(marks), tokens) for tokens in lengths] for lengths, _ in requests]
        calls = [
            scheduler.submit(rows, lane=Lane.BULK if bulk else Lane.INTERACTIVE, deadline=Deadline())
            for rows, (_, bulk) in zip(inputs, requests, strict=True)
        ]
        for rows, (results, queue_s, infer_s) in zip(inputs, await asyncio.gather(*calls), strict=True):
            assert results == [row.mark for row in rows]
            assert queue_s >= 0
            assert infer_s >= 0

    asyncio.run(main())
