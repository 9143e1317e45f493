"""What stays in a service's own memory."""

from __future__ import annotations

import numpy as np

from searchmesh.cache import Entry
from searchmesh.cache.near import NearRows

ROW_BYTES = 4 * 100 + 400


def _entry(mark: float) -> Entry:
    return Entry(np.full((1, 100), mark, dtype=np.float32), tokens=1, truncated=False)


def test_memory_is_bounded_and_what_was_not_read_for_longest_goes() -> None:
    rows = NearRows(3 * ROW_BYTES)
    for mark in range(3):
        rows.put(bytes([mark]), _entry(mark))
    assert rows.get(b"\x00") is not None
    rows.put(b"\x03", _entry(3))
    assert [rows.get(bytes([mark])) is not None for mark in range(4)] == [True, False, True, True]


def test_an_entry_larger_than_the_memory_is_not_kept() -> None:
    rows = NearRows(ROW_BYTES - 1)
    rows.put(b"a", _entry(1))
    assert rows.get(b"a") is None


def test_no_memory_keeps_nothing() -> None:
    rows = NearRows(0)
    rows.put(b"a", _entry(1))
    assert rows.get(b"a") is None
