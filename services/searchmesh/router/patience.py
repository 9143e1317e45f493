"""Waiting out the faults of others, within bounds."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from searchmesh.runtime.errors import DeadlineExceeded, Overloaded, Unavailable

T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


async def patiently(attempt: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """What `attempt` returns, tried again while what it needs is away, for `patience_s`; then raises Unavailable.

    One that is there but overloaded is waited for without end: it is working, and says itself when to come again.
    """
    give_up_at = time.monotonic() + patience_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except Overloaded as error:
            give_up_at = time.monotonic() + patience_s
            pause_s = max(FIRST_PAUSE_S, error.retry_after_s)
        except (Unavailable, DeadlineExceeded) as error:
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if time.monotonic() + pause_s > give_up_at:
                if isinstance(error, Unavailable):
                    raise
                raise Unavailable(f"given up after {patience_s:g} s: {error.message}") from error
        # Streams that were refused together should not come back together.
        await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))
