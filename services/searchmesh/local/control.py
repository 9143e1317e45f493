"""What the command line does with a mesh: up, down, status, logs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from searchmesh.local.child import Child
from searchmesh.local.guard import ORPHAN_GRACE_S, end_marked
from searchmesh.local.home import Home, already_running
from searchmesh.local.logs import follow as following
from searchmesh.local.logs import tail
from searchmesh.local.mesh import NAMES, children, running
from searchmesh.local.settings import MeshSettings
from searchmesh.local.state import ChildState, MeshState, Phase
from searchmesh.runtime.errors import FailedPrecondition, NotFound

SUPERVISOR = "supervisor"
"""Name of the log of a mesh in the background."""

_POLL_S = 0.1

Listener = Callable[[MeshState], None]


def up(settings: MeshSettings, on_change: Listener = lambda _: None) -> None:
    """Run the mesh in this process until SIGINT, SIGTERM or SIGHUP; a second one ends it without grace.

    Raises what `running` raises.
    """
    asyncio.run(_up(settings, on_change))


async def _up(settings: MeshSettings, on_change: Listener) -> None:
    hurry = asyncio.Event()

    async def hold() -> None:
        async with running(settings, on_change=on_change, hurry=hurry):
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())

    def stop() -> None:
        if holding.cancelling():
            hurry.set()
        else:
            holding.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.wait({holding})
    if not holding.cancelled():
        holding.result()


def up_detached(settings: MeshSettings, on_change: Listener = lambda _: None) -> MeshState:
    """Start the mesh in the background and return once it is ready. `on_change` is called several times a second.

    Raises FailedPrecondition with the reason, such as the end of the failing child's log, if it did not start.
    """
    home = settings.folder
    if home.is_locked():
        raise already_running(home)
    log = home.fresh_log(SUPERVISOR)
    pid = _spawn(settings, log)
    try:
        while True:
            ended, _ = os.waitpid(pid, os.WNOHANG)
            state = MeshState.read(home.state_file)
            if state is not None and state.pid != pid:
                state = None  # of an earlier run
            if state is not None:
                on_change(state)
                if state.ready:
                    return state
            if ended:
                raise _did_not_start(state, log)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
        raise


def down(path: Path, timeout_s: float = 120.0) -> bool:
    """Stop the mesh of a home and return when nothing of it is left; False if there was nothing to stop.

    A mesh that does not stop in time is killed. Raises FailedPrecondition if it runs in a process that cannot be
    identified for certain.
    """
    home = Home(path)
    if not home.is_locked():
        return home.state.exists() and end_marked(f"{home.id}/", ORPHAN_GRACE_S) > 0
    state = MeshState.read(home.state_file)
    if state is None or not state.owner_lives():
        raise FailedPrecondition(
            f"a mesh runs on {home.path}, but {home.state_file} does not say in which process; end it by hand",
            reason="SUPERVISOR_UNKNOWN",
        )
    os.kill(state.pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while home.is_locked():
        if time.monotonic() > deadline:
            os.kill(state.pid, signal.SIGKILL)
            break
        time.sleep(_POLL_S)
    end_marked(f"{home.id}/", ORPHAN_GRACE_S)
    return True


def status(path: Path) -> MeshState | None:
    """What runs on a home, asking every ready child whether it answers now; None if nothing runs."""
    home = Home(path)
    state = MeshState.read(home.state_file)
    if state is None or not state.owner_lives() or not home.is_locked():
        return None
    return asyncio.run(_asked(state))


async def _asked(state: MeshState) -> MeshState:
    settings = MeshSettings(**state.settings)
    specs = children(settings, "", [child.name for child in state.children])

    async def ask(child: ChildState, spec: Child) -> ChildState:
        if child.phase is not Phase.READY or await spec.ready():
            return child
        return child.model_copy(update={"phase": Phase.SILENT})

    asked = await asyncio.gather(*(ask(child, spec) for child, spec in zip(state.children, specs, strict=True)))
    return state.model_copy(update={"children": tuple(asked)})


def logs(path: Path, name: str, *, lines: int = 50, follow: bool = False) -> Iterator[str]:
    """The last lines of a child's log, and with `follow` those that come, also of later runs. Raises NotFound."""
    if name not in (*NAMES, SUPERVISOR):
        raise NotFound(f"no log is called {name}; there are {', '.join((*NAMES, SUPERVISOR))}")
    log = Home(path).log(name)
    if not log.exists() and not follow:
        raise NotFound(f"{log} does not exist: {name} has not run yet")
    return following(log, lines) if follow else iter(tail(log, lines))


def _spawn(settings: MeshSettings, log: Path) -> int:
    """Start ``python -m searchmesh.local`` in a session of its own; its pid."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "searchmesh.local"],
            os.environ | settings.environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
        os.close(nothing)


def _did_not_start(state: MeshState | None, log: Path) -> FailedPrecondition:
    if state is not None and state.error:
        return FailedPrecondition(state.error, reason=state.reason)
    lines = "\n".join(f"    {line}" for line in tail(log, 15))
    return FailedPrecondition(f"the mesh did not start; the end of {log}:\n{lines}", reason="CHILD_FAILED")
