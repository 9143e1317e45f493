"""Supervision of small programs: order, readiness, restarts, stops, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from searchmesh.local import ChildState, Home, Phase, Supervisor
from searchmesh.local.backoff import Backoff
from searchmesh.local.child import Child
from searchmesh.runtime.errors import FailedPrecondition
from support.mesh import always_ready, eventually, processes_of, python_child

SLEEP = "import time; time.sleep(600)"

STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"

WITH_A_GRANDCHILD = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    time.sleep(600)
print('forked', flush=True)
{SLEEP}
"""


async def never_ready() -> bool:
    return False


class Mesh:
    """A supervisor of the given children, and every change that it told."""

    def __init__(self, folder: Path, *children: Child, backoff: Backoff | None = None) -> None:
        self.home = Home(folder)
        self.home.state.mkdir()
        self.hurry = asyncio.Event()
        self.changes: list[tuple[str, Phase]] = []
        self._told: dict[str, ChildState] = {}
        self.supervisor = Supervisor(
            children,
            home=self.home,
            run=f"{self.home.id}/run/",
            on_change=self._changed,
            backoff=lambda: backoff or Backoff(first_s=0.01),
            hurry=self.hurry,
        )

    def _changed(self, states: tuple[ChildState, ...]) -> None:
        self.changes += [(state.name, state.phase) for state in states if self._told.get(state.name) != state]
        self._told = {state.name: state for state in states}

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Supervisor]:
        async with self.supervisor as supervisor:
            await supervisor.start()
            yield supervisor

    def pid(self, name: str) -> int:
        pid = self.supervisor.state(name).pid
        assert pid is not None
        return pid

    def output(self, name: str) -> str:
        return self.home.log(name).read_text()

    def processes(self) -> dict[int, str]:
        return processes_of(self.home)


async def test_children_start_after_and_stop_before_what_they_need(tmp_path: Path) -> None:
    mesh = Mesh(
        tmp_path,
        python_child("store", SLEEP),
        python_child("model", SLEEP),
        python_child("service", SLEEP, needs=("store", "model", "absent")),
    )
    async with mesh():
        started = mesh.changes[:]
        mesh.changes.clear()
    ready = [name for name, phase in started if phase is Phase.READY]
    assert ready[-1] == "service"
    assert started.index(("service", Phase.STARTING)) > started.index(("model", Phase.READY))
    assert [name for name, phase in mesh.changes if phase is Phase.STOPPED] == ["service", "model", "store"]
    assert not mesh.processes()


async def test_a_child_is_ready_only_once_its_probe_says_so(tmp_path: Path) -> None:
    answers = iter([False, False, True])

    async def third_try() -> bool:
        return next(answers)

    mesh = Mesh(tmp_path, python_child("slow", SLEEP, ready=third_try))
    async with mesh() as supervisor:
        assert supervisor.state("slow").phase is Phase.READY
    assert next(answers, None) is None


async def test_a_child_that_ends_before_it_is_ready_fails_the_start_with_the_end_of_its_log(tmp_path: Path) -> None:
    script = "print('line one'); print('no such model'); raise SystemExit(3)"
    mesh = Mesh(tmp_path, python_child("good", SLEEP), python_child("bad", script, ready=never_ready))
    with pytest.raises(FailedPrecondition) as caught:
        async with mesh():
            pass
    assert caught.value.message.startswith("bad ended with exit code 3")
    assert "    line one\n    no such model" in caught.value.message
    assert str(mesh.home.log("bad")) in caught.value.message
    assert caught.value.reason == "CHILD_FAILED"
    assert not mesh.processes()


async def test_a_child_may_need_a_second_try_until_it_is_first_ready(tmp_path: Path) -> None:
    once, again = tmp_path / "once", tmp_path / "again"
    script = f"""
import pathlib
if not pathlib.Path({str(once)!r}).exists():
    pathlib.Path({str(once)!r}).touch()
    raise SystemExit(6)
pathlib.Path({str(again)!r}).touch()
{SLEEP}
"""

    async def ready() -> bool:
        return again.exists()

    mesh = Mesh(tmp_path, python_child("flaky", script, ready=ready, first_tries=2))
    async with mesh() as supervisor:
        assert supervisor.state("flaky").phase is Phase.READY
        assert supervisor.state("flaky").restarts == 1


async def test_a_child_that_is_not_ready_in_time_fails_the_start_and_is_named(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("slow", SLEEP, ready=never_ready, ready_timeout_s=0.3))
    with pytest.raises(FailedPrecondition, match=r"slow was not ready within 0\.3 s; its log .* is empty"):
        async with mesh():
            pass
    assert not mesh.processes()


async def test_a_program_that_does_not_exist_fails_the_start(tmp_path: Path) -> None:
    child = Child(name="none", argv=("/no/such/program",), env={}, ports={}, ready=always_ready)
    with pytest.raises(FailedPrecondition, match="none could not be started"):
        async with Mesh(tmp_path, child)():
            pass


async def test_a_child_that_ends_later_is_started_again_and_the_others_stay(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("one", SLEEP), python_child("two", SLEEP))
    async with mesh() as supervisor:
        killed, other = mesh.pid("one"), mesh.pid("two")
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: supervisor.state("one").restarts == 1, "the end is noticed")
        assert supervisor.state("one").detail in ("ended by SIGKILL", "")
        await eventually(lambda: supervisor.state("one").phase is Phase.READY, "it is ready again")
        assert mesh.pid("one") != killed
        assert mesh.pid("two") == other


async def test_restarts_of_a_child_that_keeps_ending_wait_longer_and_longer(tmp_path: Path) -> None:
    script = "import time; print(time.monotonic(), flush=True); time.sleep(0.05)"
    mesh = Mesh(tmp_path, python_child("flaky", script), backoff=Backoff(first_s=0.1, longest_s=0.4, stable_s=60))
    async with mesh():
        await eventually(lambda: mesh.output("flaky").count("\n") >= 5, "five starts")
    starts = [float(line) for line in mesh.output("flaky").split()]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    for gap, least in zip(gaps, (0.1, 0.2, 0.4, 0.4), strict=False):
        assert least <= gap < least + 0.4


async def test_a_restarted_child_that_hangs_is_started_once_more(tmp_path: Path) -> None:
    tries = 0

    async def ready() -> bool:
        nonlocal tries
        tries += 1
        return tries == 1 or tries > 4  # the second process never answers in its time

    mesh = Mesh(tmp_path, python_child("child", SLEEP, ready=ready, ready_timeout_s=0.25))
    async with mesh() as supervisor:
        os.kill(mesh.pid("child"), signal.SIGKILL)
        await eventually(
            lambda: supervisor.state("child").restarts == 2 and supervisor.state("child").phase is Phase.READY,
            "the third process is ready",
        )


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("parent", WITH_A_GRANDCHILD))
    async with mesh() as supervisor:
        await eventually(lambda: "forked" in mesh.output("parent"), "it forks")
        parent = mesh.pid("parent")
        (grandchild,) = [pid for pid in mesh.processes() if pid != parent]
        os.kill(parent, signal.SIGKILL)
        await eventually(lambda: supervisor.state("parent").restarts == 1, "the end is noticed")
        await eventually(lambda: grandchild not in mesh.processes(), "the grandchild is gone")
        await eventually(lambda: len(mesh.processes()) == 2, "both run again")
    assert not mesh.processes()


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("deaf", STUBBORN, stop_grace_s=0.5))
    async with mesh():
        await eventually(lambda: "deaf" in mesh.output("deaf"), "it ignores SIGTERM")
        began = time.monotonic()
    assert 0.5 <= time.monotonic() - began < 2
    assert not mesh.processes()


async def test_in_a_hurry_a_stop_gives_no_grace(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("deaf", STUBBORN, stop_grace_s=60))
    async with mesh():
        await eventually(lambda: "deaf" in mesh.output("deaf"), "it ignores SIGTERM")
        asyncio.get_running_loop().call_later(0.2, mesh.hurry.set)
        began = time.monotonic()
    assert time.monotonic() - began < 2


async def test_a_probe_that_swallows_its_cancellation_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    async def deaf() -> bool:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return True

    mesh = Mesh(tmp_path, python_child("slow", SLEEP, ready=deaf))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3), mesh():
            pass
    assert not mesh.processes()


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("slow", SLEEP, ready=never_ready, ready_timeout_s=60))

    async def hold() -> None:
        async with mesh():
            pass

    holding = asyncio.create_task(hold())
    await eventually(lambda: len(mesh.processes()) == 1, "the child runs")
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert not mesh.processes()


async def test_the_guard_is_replaced_if_it_is_killed(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, python_child("one", SLEEP))

    def guards() -> list[int]:
        found = []
        for child in psutil.Process().children():
            with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
                found += [child.pid] if f"{mesh.home.id}/run/" in child.cmdline() else []
        return found

    async with mesh():
        (killed,) = guards()
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: bool(guards()) and killed not in guards(), "a new guard runs")
        assert mesh.supervisor.state("one").restarts == 0
    assert not guards()


async def test_children_inherit_no_descriptors(tmp_path: Path) -> None:
    script = f"import os; print(sorted(os.listdir('/proc/self/fd')), flush=True); {SLEEP}"
    with socket.create_server(("127.0.0.1", 0)):
        mesh = Mesh(tmp_path, python_child("plain", script))
        async with mesh():
            await eventually(lambda: "]" in mesh.output("plain"), "it prints")
    assert mesh.output("plain").strip() == "['0', '1', '2', '3']"  # 3 is the listing itself
