"""Settings of the local mesh, its ports and its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from searchmesh.local import Home, MeshSettings, Ports
from searchmesh.local.state import ChildState, MeshState, Phase
from searchmesh.runtime.errors import FailedPrecondition


def test_the_home_is_where_user_data_belongs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SEARCHMESH_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert MeshSettings().home == tmp_path / "searchmesh"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert MeshSettings().home == tmp_path / ".local" / "share" / "searchmesh"
    monkeypatch.setenv("SEARCHMESH_HOME", "~/mine")
    assert MeshSettings().home == tmp_path / "mine"


def test_a_relative_home_does_not_follow_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert MeshSettings(home=Path("here")).home == tmp_path / "here"


def test_another_process_gets_the_same_settings_through_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = MeshSettings(
        home=tmp_path,
        port_offset=7,
        only=("triton",),
        models=("a", "b"),
        stop_grace_s=4.5,
        otlp_endpoint="http://x:4318",
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert MeshSettings() == settings


@pytest.mark.parametrize("wrong", [{"port_offset": -1}, {"port_offset": 60_000}, {"hom": "/tmp"}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MeshSettings(**wrong)  # type: ignore[arg-type]


def test_ports_are_distinct_and_move_together() -> None:
    ports = Ports().all()
    assert len(set(ports)) == len(ports)
    assert [port + 1000 for port in ports] == Ports(1000).all()
    assert max(Ports(57_000).all()) < 65_536


def test_one_process_at_a_time_holds_a_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert not home.is_locked()
    with home.locked():
        assert home.is_locked()
        with pytest.raises(FailedPrecondition, match="already running") as caught, home.locked():
            pass
        assert caught.value.reason == "ALREADY_RUNNING"
    assert not home.is_locked()


def test_homes_have_ids_of_their_own_and_one_folder_has_one(tmp_path: Path) -> None:
    for name in ("real", "other"):
        (tmp_path / name / "state").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Home(tmp_path / "real").id != Home(tmp_path / "other").id
    assert Home(tmp_path / "real").id == Home(tmp_path / "link").id


def test_a_new_run_keeps_the_log_of_the_one_before(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.fresh_log("triton").write_text("first")
    home.fresh_log("triton").write_text("second")
    log = home.fresh_log("triton")
    assert log.read_text() == ""
    assert log.with_name("triton.log.1").read_text() == "second"


def test_the_state_survives_its_file_and_a_broken_file_is_no_state(tmp_path: Path) -> None:
    file = tmp_path / "mesh.json"
    assert MeshState.read(file) is None
    child = ChildState(name="triton", phase=Phase.READY, since=1.0, pid=5, ports={"gRPC": 8001})
    state = MeshState.of_this_process().model_copy(update={"children": (child,)})
    state.write(file)
    assert MeshState.read(file) == state
    file.write_text(file.read_text()[:40])
    assert MeshState.read(file) is None


def test_a_mesh_is_ready_when_every_child_is() -> None:
    state = MeshState.of_this_process()
    assert not state.ready
    ready = ChildState(name="a", phase=Phase.READY, since=0, ports={})
    waiting = ChildState(name="b", phase=Phase.WAITING, since=0, ports={})
    assert state.model_copy(update={"children": (ready,)}).ready
    assert not state.model_copy(update={"children": (ready, waiting)}).ready


def test_another_process_with_the_same_pid_is_not_the_supervisor() -> None:
    own = MeshState.of_this_process()
    assert own.pid == os.getpid()
    assert own.owner_lives()
    assert not own.model_copy(update={"pid_start": own.pid_start - 1}).owner_lives()
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
        assert not own.model_copy(update={"pid": gone.pid}).owner_lives()
