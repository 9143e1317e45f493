"""What the next service is told of a trace."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from searchmesh.runtime.telemetry import inject, span, tracing


@pytest.mark.parametrize(("sampler", "kept"), [(ALWAYS_ON, 1), (ALWAYS_OFF, 0)])
def test_services_are_told_the_decision_and_triton_only_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, sampler: Sampler, kept: int
) -> None:
    provider = TracerProvider(sampler=sampler)
    monkeypatch.setattr(tracing, "_provider", provider)
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    with span("a step"):
        ((name, value),) = inject()
        assert name == "traceparent"
        assert int(value[-2:], 16) & 1 == kept
        assert len(inject(only_sampled=True)) == kept


def test_without_tracing_nobody_is_told_anything() -> None:
    assert inject() == ()
    assert inject(only_sampled=True) == ()
