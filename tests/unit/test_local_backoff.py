"""Restarts slow down while a child keeps ending."""

from __future__ import annotations

from searchmesh.local.backoff import Backoff


def test_waits_double_up_to_a_bound() -> None:
    backoff = Backoff(first_s=0.5, longest_s=3.0, stable_s=10.0)
    assert [backoff.delay_s(0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_time_of_being_ready_begins_again_only_if_it_was_long_enough() -> None:
    backoff = Backoff(first_s=0.5, longest_s=3.0, stable_s=10.0)
    assert [backoff.delay_s(ready_s) for ready_s in (0, 9.9, 10.0, 0, 0)] == [0.5, 1.0, 0.5, 1.0, 2.0]
