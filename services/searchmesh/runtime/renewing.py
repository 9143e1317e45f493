"""A channel that is made anew when its certificates change, and that shows the caller's API key.

gRPC itself reads a client's certificate once, and sends keys over TLS only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Any

import grpc
import grpc.aio

from searchmesh.runtime.errors import FailedPrecondition

_CHECK_S = 10.0
"""How often the version is looked at, by calls; certificates are renewed weeks before they expire."""

_GRACE_S = 600.0
"""Time that calls on the old connections have to finish."""


class RenewingChannel(grpc.aio.Channel):
    """Calls go to the channel that `make` made for the newest `version`, with `metadata` added to their own."""

    def __init__(
        self,
        make: Callable[[], grpc.aio.Channel],
        version: Callable[[], Hashable],
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.metadata = metadata
        self._make = make
        self._version_of = version
        self._version = version()
        self._channel = make()
        self._next_check = time.monotonic() + _CHECK_S
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def current(self) -> grpc.aio.Channel:
        """The channel for a new call."""
        if time.monotonic() >= self._next_check:
            self._next_check = time.monotonic() + _CHECK_S
            self._renew()
        return self._channel

    def _renew(self) -> None:
        try:
            version = self._version_of()
            if version == self._version:
                return
            fresh = self._make()
        except FailedPrecondition:
            # Files that are being replaced are looked at again; the old certificate is good for weeks.
            return
        closing = asyncio.create_task(self._channel.close(_GRACE_S))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._channel, self._version = fresh, version

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "unary_unary", method, options)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "unary_stream", method, options)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "stream_unary", method, options)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        return _Method(self, "stream_stream", method, options)

    async def close(self, grace: float | None = None) -> None:
        for closing in self._closing:
            closing.cancel()
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.current.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.current.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current.channel_ready()

    async def __aenter__(self) -> RenewingChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Method:
    """A method of a stub, on whatever channel is the current one."""

    def __init__(self, channel: RenewingChannel, kind: str, method: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._channel = channel
        self._kind = kind
        self._method = method
        self._options = options
        self._made_by: grpc.aio.Channel | None = None
        self._made: Any = None

    def __call__(self, *request: Any, metadata: Any = None, **call: Any) -> Any:
        current = self._channel.current
        if current is not self._made_by:
            self._made = getattr(current, self._kind)(*self._method, **self._options)
            self._made_by = current
        return self._made(*request, metadata=(*(metadata or ()), *self._channel.metadata), **call)
