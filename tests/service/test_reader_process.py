"""The reader as the program that a mesh runs: alone, from the command line, killed and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from searchmesh.local import MeshSettings, MeshState, free_port_offset
from searchmesh.local.control import down, status, up_detached
from support.pages import article


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshSettings]:
    """A mesh of the reader alone."""
    settings = MeshSettings(home=tmp_path_factory.mktemp("mesh"), port_offset=free_port_offset(), only=("reader",))
    up_detached(settings)
    yield settings
    down(settings.home)


def _searchmesh(mesh: MeshSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SEARCHMESH_HOME": str(mesh.home)}
    command = [sys.executable, "-m", "searchmesh.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def _state(mesh: MeshSettings) -> MeshState:
    state = status(mesh.home)
    assert state is not None
    return state


def _reader(mesh: MeshSettings) -> psutil.Process:
    (child,) = _state(mesh).children
    assert child.pid is not None
    return psutil.Process(child.pid)


def test_it_is_ready_without_any_other_part(mesh: MeshSettings) -> None:
    (child,) = _state(mesh).children
    assert (child.name, child.phase) == ("reader", "ready")
    assert child.ports["gRPC"] == mesh.ports.reader


def test_a_page_is_read_from_the_command_line(mesh: MeshSettings, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(article("<table><tr><th>Boat<th>Crew<tr><td>Ida<td>3</table>"))
    done = _searchmesh(mesh, "read", str(page), "--engine", "rules")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# A day at the harbour\n\nThe first boat came in at noon")
    assert "| Boat | Crew |\n| --- | --- |\n| Ida | 3 |" in done.stdout
    whole = json.loads(_searchmesh(mesh, "read", str(page), "--json").stdout)
    assert whole["started"]["page"]["language"] == "en"
    refused = _searchmesh(mesh, "read", str(page), "--engine", "model")
    assert refused.returncode == 1
    assert f"run: searchmesh models export ReaderLM-v2 --repository {mesh.folder.repository}" in refused.stderr


def test_urls_are_fetched_and_never_from_this_machine(mesh: MeshSettings) -> None:
    done = _searchmesh(mesh, "read", "http://127.0.0.1:80/")
    assert done.returncode == 2
    assert "url: leads to a loopback address; only public ones are fetched" in done.stderr


def test_what_was_read_is_counted(mesh: MeshSettings, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>some words")
    _searchmesh(mesh, "read", str(page))
    with urllib.request.urlopen(f"http://127.0.0.1:{mesh.ports.reader + 200}/metrics") as answer:
        metrics = answer.read().decode()
    assert 'reader_pages_total{ending="stop",engine="rules"}' in metrics


def test_a_reader_that_is_killed_leaves_no_parsers_and_comes_back(mesh: MeshSettings) -> None:
    reader = _reader(mesh)
    parsers = reader.children()
    assert len(parsers) == len(os.sched_getaffinity(0))
    os.kill(reader.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(parsers, timeout=15)
    assert alive == []
    for _ in range(300):
        (child,) = _state(mesh).children
        if child.restarts == 1 and child.phase == "ready":
            return
        time.sleep(0.2)
    raise AssertionError("it did not come back")


def test_a_stopped_mesh_leaves_nothing(mesh: MeshSettings) -> None:
    reader = _reader(mesh)
    processes = [reader, *reader.children(recursive=True)]
    assert len(processes) > 1
    down(mesh.home)
    assert not any(process.is_running() for process in processes)
    assert "Traceback" not in mesh.folder.log("reader").read_text()
