"""A service as the operating system sees it: ports, signals, workers, settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.models import write_repository
from support.ports import free_port

OFFSETS = (100, 200, 300)


@contextmanager
def _service(tmp_path: Path, **env: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The embedding service without a backend: it listens and is not ready."""
    port = free_port(*OFFSETS)
    settings = {
        "SEARCHMESH_PORT": str(port),
        "SEARCHMESH_TRITON_URL": "127.0.0.1:1",
        "SEARCHMESH_CACHE_URL": "",
        "SEARCHMESH_MODEL_REPOSITORY": str(write_repository(tmp_path / "repository")),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "searchmesh.embedding"],
        env=os.environ | settings | env,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=20)
        yield process, port
    finally:
        process.kill()
        process.communicate()


def _health(port: int, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status)


def test_without_a_backend_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    with _service(tmp_path) as (_, port):
        assert _health(port) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert _health(port + 100) == health_pb2.HealthCheckResponse.NOT_SERVING
        assert _health(port + 100, "live") == health_pb2.HealthCheckResponse.SERVING


def test_prometheus_finds_the_metrics(tmp_path: Path) -> None:
    with _service(tmp_path) as (_, port):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port + 200}/metrics", timeout=5).read().decode()
    assert "grpc_server_in_flight" in text


def test_sigterm_ends_it_with_code_zero(tmp_path: Path) -> None:
    with _service(tmp_path) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_logs_are_json_lines(tmp_path: Path) -> None:
    with _service(tmp_path) as (process, _):
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=10)
    entries = [json.loads(line) for line in stderr.splitlines()]
    assert {entry["service"] for entry in entries} == {"embedding"}
    assert any("the backend has not loaded" in entry["message"] for entry in entries)


def test_workers_share_the_port_and_end_together(tmp_path: Path) -> None:
    with _service(tmp_path, SEARCHMESH_WORKERS="2") as (process, port):
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        deadline = time.monotonic() + 10
        while {port} != set.intersection(*(_listening(worker) & {port} for worker in workers)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        assert not any(worker.is_running() for worker in workers)


def test_a_dead_worker_ends_the_service_with_an_error(tmp_path: Path) -> None:
    with _service(tmp_path, SEARCHMESH_WORKERS="2") as (process, _):
        first, second = psutil.Process(process.pid).children()
        first.kill()
        assert process.wait(timeout=15) != 0
        assert not second.is_running()


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    with _service(tmp_path, SEARCHMESH_WORKERS="2") as (process, _):
        workers = psutil.Process(process.pid).children()
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []


def test_a_taken_port_is_one_line_in_the_log(tmp_path: Path) -> None:
    with _service(tmp_path) as (_, port):
        env = os.environ | {"SEARCHMESH_PORT": str(port), "SEARCHMESH_CACHE_URL": ""}
        second = subprocess.run(
            [sys.executable, "-m", "searchmesh.embedding"], env=env, capture_output=True, text=True, timeout=30
        )
    assert second.returncode == 1
    messages = [json.loads(line)["message"] for line in second.stderr.splitlines()]
    assert any(message.startswith("cannot listen on 127.0.0.1:") for message in messages), second.stderr


def _listening(process: psutil.Process) -> set[int]:
    return {c.laddr.port for c in process.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN}


def test_show_config_prints_settings_without_secrets() -> None:
    env = os.environ | {"SEARCHMESH_CACHE_URL": "redis://user:hunter2@cache:6379/0"}
    command = [sys.executable, "-m", "searchmesh.embedding", "--show-config"]
    shown = json.loads(subprocess.run(command, env=env, capture_output=True, check=True, text=True).stdout)
    assert shown["cache_url"] == "redis://user:****@cache:6379/0"
    assert shown["port"] == 7101
