"""The pool simulator against cases that can be computed by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from searchmesh_bench.simulate import Load, Pool, Scaler, Scaling, load_of, simulate


def steady(per_second: float, seconds: float, step_s: float = 1.0) -> Load:
    items = np.full(round(seconds / step_s), per_second * step_s)
    return Load(items, items, step_s)


def test_demand_is_offered_items_in_pods() -> None:
    assert Scaling(900).demand(1350) == 1.5


@pytest.mark.parametrize(("tokens", "ready", "pods"), [(0, 2, 0), (1, 2, 1), (65536, 2, 1), (65537, 2, 2), (1e9, 2, 3)])
def test_the_backlog_asks_for_at_most_one_more_than_are_ready(tokens: float, ready: int, pods: int) -> None:
    assert Scaling(900).backlog(tokens, ready) == pods


@pytest.mark.parametrize(
    ("offered", "current", "replicas"),
    [
        (700, 1, 1),  # exactly what one pod is to have
        (765, 1, 1),  # a tenth more is within the tolerance
        (785, 1, 2),
        (2101, 2, 4),
        (9000, 1, 3),  # two pods in 30 s, or as many again: the larger
        (9000, 4, 8),
        (9000, 8, 8),  # max_replicas
    ],
)
def test_scaling_out_is_the_rate_over_the_target(offered: float, current: int, replicas: int) -> None:
    assert Scaler(Scaling(1000)).replicas(15, current, current, offered, 0) == replicas


def test_scaling_out_waits_for_the_period_of_its_policy() -> None:
    scaler = Scaler(Scaling(1000))
    assert [scaler.replicas(now, current, 1, 9000, 0) for now, current in ((15, 1), (30, 3), (45, 3))] == [3, 3, 6]


def test_scaling_in_waits_for_its_window_and_then_takes_one_pod_at_a_time() -> None:
    scaler = Scaler(Scaling(1000))
    current, seen = scaler.replicas(0, 4, 4, 2700, 0), []
    for now in range(15, 1000, 15):
        after = scaler.replicas(now, current, current, 600, 0)
        if after != current:
            seen.append((now, after))
        current = after
    assert seen == [(600, 3), (720, 2), (840, 1)]


def test_no_pod_is_taken_while_the_load_comes_back_within_the_window() -> None:
    scaler = Scaler(Scaling(1000))
    for now in range(0, 3600, 15):
        offered = 2700 if now % 480 == 0 else 100
        assert scaler.replicas(now, 4, 4, offered, 0) == 4


def test_a_pool_with_room_serves_everything_at_once() -> None:
    result = simulate(steady(500, 3600), Pool(), Scaling(1000))
    assert (result.items, result.slow, result.shed, result.peak) == (1_800_000, 0, 0, 1)
    assert result.pod_hours == pytest.approx(1)


def test_what_exceeds_the_pods_waits_up_to_the_deadline_and_is_shed_beyond() -> None:
    """2,000/s on one pod of 1,000/s that may not grow: half is shed, less the queue that forms."""
    load = steady(2000, 100)
    result = simulate(load, Pool(deadline_s=2, limit_s=0.5), Scaling(1000, max_replicas=1))
    # 200,000 come, 100 s × 1,000 are served, and the 2,000 that wait at the end are served afterwards.
    assert result.shed == pytest.approx((200_000 - 100_000 - 2_000) / 200_000)
    # Of each step's 1,000 served, all but the first step's waited a second or two.
    assert result.slow == pytest.approx((102_000 - 1_000) / 200_000)


def test_pods_count_from_the_decision_and_serve_once_they_have_started() -> None:
    """1,400/s need two pods at 0.7 of 1,000/s: asked for at 15 s, there at 115 s."""
    result = simulate(steady(1400, 600), Pool(start_s=100, deadline_s=0), Scaling(1000, queued_tokens_per_pod=10**9))
    assert result.replicas[:16] == (1,) * 15 + (2,)
    assert result.shed == pytest.approx(115 * 400 / (600 * 1400))
    assert result.pod_hours == pytest.approx((15 + 2 * 585) / 3600)


def test_work_that_is_longer_than_its_items_say_is_not_seen_by_the_rate() -> None:
    items = np.full(600, 600.0)
    long = Load(items, 2 * items, 1.0)
    blind = simulate(long, Pool(), Scaling(1000, queued_tokens_per_pod=10**9))
    guarded = simulate(long, Pool(), Scaling(1000))
    assert blind.peak == 1
    # When the second pod is there, the mean over 30 s still knows the queue, and asks for a third.
    assert guarded.peak == 3
    assert guarded.shed < blind.shed


def test_a_pool_of_no_pods_sheds_until_the_first_is_there() -> None:
    result = simulate(steady(100, 300), Pool(start_s=30), Scaling(1000, min_replicas=0))
    assert result.replicas[:16] == (0,) * 15 + (1,)
    assert result.shed == pytest.approx(45 / 300)


@pytest.mark.parametrize("name", ["steady", "ramp", "zipf"])
def test_a_seed_gives_one_load(name: str, tmp_path: Path) -> None:
    first, again, other = (load_of(name, per_second=200, minutes=7, seed=seed, traces=tmp_path) for seed in (1, 1, 2))
    assert np.array_equal(first.items, again.items)
    assert not np.array_equal(first.items, other.items)
    assert first.seconds == pytest.approx(420)


def test_made_loads_have_their_shape(tmp_path: Path) -> None:
    flat, ramp, zipf = (
        load_of(name, per_second=200, minutes=35, seed=0, traces=tmp_path) for name in ("steady", "ramp", "zipf")
    )
    assert flat.items.sum() / flat.seconds == pytest.approx(200, rel=0.01)
    assert ramp.items.sum() / ramp.seconds == pytest.approx(200, rel=0.01)
    per_minute = ramp.items.reshape(35, -1).sum(axis=1)
    assert per_minute[8:14].mean() / per_minute[:4].mean() == pytest.approx(16 / 3, rel=0.05)
    # The cache fills: at first nearly all is new to it, in the end three in ten and the tail.
    offered = zipf.items.reshape(35, -1).sum(axis=1) / 60 / 200
    assert offered[0] > offered[10] > offered[34] > 0.3
    assert offered[0] < 1


def test_recorded_loads_keep_their_bursts_and_their_lengths(tmp_path: Path) -> None:
    csv = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    csv += "2023-11-16 18:00:00.0000000,100,1\n2023-11-16 18:00:00.0500000,300,1\n2023-11-16 18:00:00.9500000,200,1\n"
    with gzip.open(tmp_path / "azure_conv.csv.gz", "wt") as file:
        file.write(csv)
    load = load_of("azure_conv", per_second=30, minutes=1, seed=0, traces=tmp_path)
    assert load.items.tolist() == pytest.approx([20, *[0] * 8, 10])
    assert load.work.tolist() == pytest.approx([20, *[0] * 8, 10])
    requests = [{"timestamp": 0, "input_length": 10}, {"timestamp": 500, "input_length": 30}]
    with gzip.open(tmp_path / "mooncake_conversation.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, requests)))
    load = load_of("mooncake_conversation", per_second=10, minutes=1, seed=0, traces=tmp_path)
    assert load.items.tolist() == pytest.approx([3, 0, 0, 0, 0, 3])
    assert load.work.tolist() == pytest.approx([1.5, 0, 0, 0, 0, 4.5])


def test_a_load_that_is_not_there_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="the loads are steady, ramp, zipf, azure_conv"):
        load_of("waves", per_second=1, minutes=1, seed=0, traces=tmp_path)
    with pytest.raises(FailedPrecondition, match="SEARCHMESH_DATA"):
        load_of("azure_code", per_second=1, minutes=1, seed=0, traces=tmp_path)
