"""What the command line does: up in the background, status, logs, down."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from searchmesh.local import MeshSettings, MeshState, Phase, down, free_port_offset, logs, status, up_detached
from searchmesh.runtime.errors import FailedPrecondition, NotFound
from support.mesh import processes_of


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[MeshSettings]:
    made = MeshSettings(
        home=tmp_path, port_offset=free_port_offset(), only=("redis-cache", "redis-index"), stop_grace_s=5
    )
    yield made
    down(made.home)


def test_up_returns_when_all_are_ready_and_down_when_all_are_gone(settings: MeshSettings) -> None:
    seen: list[MeshState] = []
    state = up_detached(settings, seen.append)
    assert seen[-1] == state
    assert [child.name for child in state.children] == ["redis-cache", "redis-index"]
    with redis.Redis(port=settings.ports.redis_index) as client:
        assert client.ping()
    supervisor = psutil.Process(state.pid)
    assert supervisor.cwd() == "/"
    assert os.getsid(state.pid) == state.pid
    assert down(settings.home) is True
    assert not processes_of(settings.folder)
    assert os.waitpid(state.pid, 0)[1] == 0
    assert down(settings.home) is False


def test_a_second_up_says_that_it_runs_and_disturbs_nothing(settings: MeshSettings) -> None:
    first = up_detached(settings)
    with pytest.raises(FailedPrecondition, match="already running"):
        up_detached(settings)
    now = status(settings.home)
    assert now is not None
    assert now.children == first.children
    assert settings.folder.log("supervisor").read_text()


def test_status_asks_whether_each_child_answers(settings: MeshSettings) -> None:
    assert status(settings.home) is None
    up_detached(settings)
    now = status(settings.home)
    assert now is not None
    assert [child.phase for child in now.children] == [Phase.READY, Phase.READY]
    pid = now.children[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = status(settings.home)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert stopped is not None
    assert [child.phase for child in stopped.children] == [Phase.SILENT, Phase.READY]
    down(settings.home)
    assert status(settings.home) is None


def test_a_child_that_cannot_start_is_reported_with_the_end_of_its_log(settings: MeshSettings) -> None:
    broken = settings.folder.data("redis-index") / "appendonlydir"
    broken.mkdir(parents=True)
    (broken / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(FailedPrecondition) as caught:
        up_detached(settings)
    assert "redis-index ended with exit code 1" in caught.value.message
    assert "AOF manifest file" in caught.value.message
    assert caught.value.reason == "CHILD_FAILED"
    assert not processes_of(settings.folder)
    assert status(settings.home) is None


def test_a_missing_model_is_reported_as_in_the_foreground(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="run: searchmesh models export all-MiniLM-L6-v2"):
        up_detached(MeshSettings(home=tmp_path))


def test_logs_show_the_last_lines_and_follow_into_the_next_run(settings: MeshSettings) -> None:
    up_detached(settings)
    last = list(logs(settings.home, "redis-cache", lines=2))
    assert len(last) == 2
    assert "Ready to accept connections" in last[-1]
    following = logs(settings.home, "redis-cache", lines=1, follow=True)
    assert next(following) == last[-1]
    down(settings.home)
    again = threading.Timer(0.3, up_detached, [settings])
    again.start()
    lines = list(itertools.takewhile(lambda line: "Ready to accept" not in line, following))
    again.join()
    assert any("ready to exit" in line for line in lines)
    assert any("Redis is starting" in line for line in lines)


def test_logs_of_what_does_not_exist_are_not_found(settings: MeshSettings) -> None:
    with pytest.raises(NotFound, match="there are redis-cache, redis-index, triton"):
        logs(settings.home, "redis")
    with pytest.raises(NotFound, match="has not run yet"):
        logs(settings.home, "triton")


def test_down_signals_nobody_whom_it_cannot_identify(settings: MeshSettings) -> None:
    impostor = MeshState.of_this_process().model_copy(update={"pid_start": 1})
    with settings.folder.locked():
        impostor.write(settings.folder.state_file)
        with pytest.raises(FailedPrecondition, match="does not say in which process"):
            down(settings.home)


def test_down_kills_a_mesh_that_does_not_stop_in_time(settings: MeshSettings) -> None:
    state = up_detached(settings)
    os.kill(state.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert down(settings.home, timeout_s=0.5) is True
    assert time.monotonic() - began < 5
    assert not psutil.pid_exists(state.pid) or psutil.Process(state.pid).status() == psutil.STATUS_ZOMBIE
    assert not processes_of(settings.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_mesh_in_the_foreground_with_exit_code_0(settings: MeshSettings, number: int) -> None:
    process = _in_the_foreground(settings)
    while (now := status(settings.home)) is None or not now.ready:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=10) == 0
    assert not processes_of(settings.folder)


def test_a_signal_during_the_start_stops_it_too(settings: MeshSettings) -> None:
    process = _in_the_foreground(settings)
    while not processes_of(settings.folder):
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
    assert not processes_of(settings.folder)


def _in_the_foreground(settings: MeshSettings) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "searchmesh.local"],
        env=os.environ | settings.environment(),
        stderr=subprocess.DEVNULL,
    )
