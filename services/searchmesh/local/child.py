"""What the supervisor knows of a program: how to start it, when it is ready, how to stop it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Child:
    """One program of the mesh."""

    name: str
    argv: tuple[str, ...]

    env: Mapping[str, str]
    """The whole environment, to which the supervisor adds its mark."""

    ports: Mapping[str, int]
    """Loopback ports by what they are for; checked before anything starts."""

    ready: Callable[[], Awaitable[bool]]
    """One bounded try to use the program. Raises nothing."""

    prepare: Callable[[], None] = _nothing
    """Makes what the program needs on disk; called before each start."""

    needs: tuple[str, ...] = ()
    """Children that must have been ready once before this one starts, where they run at all."""

    first_tries: int = 1
    """Starts until the first that must have made it ready; later it gets any number of tries."""

    ready_timeout_s: float = 120.0
    """Time from start until ready."""

    stop_grace_s: float = 15.0
    """Time from SIGTERM until SIGKILL."""
