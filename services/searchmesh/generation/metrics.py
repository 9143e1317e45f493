"""What an operator sees of a decoder: how full it is, how fast it writes, and whether drafts pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation

from searchmesh.generation.admission import Admission
from searchmesh.generation.writing import Written
from searchmesh.runtime.telemetry import meter

_pools: dict[str, Admission] = {}


def _gauge(read: Callable[[Admission], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda _: [Observation(read(admission), {"pool": pool}) for pool, admission in _pools.items()]


_meter = meter()
for _name, _read, _description in (
    ("generation_in_flight", lambda admission: admission.in_flight, "Texts that are being written."),
    ("generation_waiting", lambda admission: admission.waiting, "Texts that wait for a slot."),
    ("generation_slots", lambda admission: admission.slots, "Texts that can be written at the same time."),
):
    _meter.create_observable_gauge(_name, callbacks=[_gauge(_read)], description=_description)
_offered = _meter.create_counter("generation_offered", description="Texts that were asked for, before shedding.")
_shed = _meter.create_counter("generation_shed", description="Texts refused because of load.")
_finished = _meter.create_counter("generation_finished", description="Texts that were written, by why they ended.")
_tokens = _meter.create_counter(
    "generation_tokens", description="Tokens read and written, by direction; of texts that were given up, too."
)
_drafts = _meter.create_counter("generation_draft_tokens", description="Drafted tokens, by whether they were accepted.")
_first = _meter.create_histogram(
    "generation_time_to_first_token", unit="s", description="From the request to the first token, the wait included."
)
_between = _meter.create_histogram(
    "generation_time_between_tokens", unit="s", description="Of the tokens after the first, one by one."
)


class PoolMetrics:
    """The instruments of one model."""

    def __init__(self, pool: str, admission: Admission) -> None:
        _pools[pool] = admission
        self._pool = {"pool": pool}
        # A counter that begins with its first items has no rate for them.
        _offered.add(0, self._pool)

    def offered(self) -> None:
        """A text is asked for."""
        _offered.add(1, self._pool)

    def shed(self) -> None:
        """It was refused."""
        _shed.add(1, self._pool)

    def text(self) -> TextMetrics:
        """The instruments of one text whose time begins now."""
        return TextMetrics(self._pool)


class TextMetrics:
    """Follows one text."""

    def __init__(self, pool: dict[str, str]) -> None:
        self._pool = pool
        self._input_tokens = 0
        self._last = time.perf_counter()
        self._begun = False

    def begins(self, input_tokens: int) -> None:
        """It is behind a prompt of so many tokens."""
        self._input_tokens = input_tokens

    def tokens(self, count: int) -> None:
        """So many came at once."""
        now = time.perf_counter()
        if self._begun:
            for _ in range(count):
                _between.record((now - self._last) / count, self._pool)
        else:
            _first.record(now - self._last, self._pool)
            _tokens.add(self._input_tokens, self._pool | {"direction": "read"})
        self._begun, self._last = True, now
        _tokens.add(count, self._pool | {"direction": "written"})

    def finished(self, written: Written) -> None:
        """It has ended by itself."""
        _finished.add(1, self._pool | {"finish": written.finish.value})
        _drafts.add(written.accepted, self._pool | {"accepted": "yes"})
        _drafts.add(written.drafted - written.accepted, self._pool | {"accepted": "no"})
