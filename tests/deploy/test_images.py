"""The images: they cannot be built here, so what their builds would do is done without them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.ports import free_port

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CHART = yaml.safe_load((ROOT / "deploy/helm/searchmesh/values.yaml").read_text(encoding="utf-8"))
SERVICES = sorted(path.parent.name for path in (ROOT / "services/searchmesh").glob("*/__main__.py"))
SERVICES = [name for name in SERVICES if name not in ("cli", "local")]


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / name
    return subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("file", sorted(DOCKER.glob("*.Dockerfile")), ids=lambda file: file.name)
def test_dockerfiles_are_clean(file: Path) -> None:
    done = tool("hadolint", str(file))
    assert done.returncode == 0, done.stdout


def test_scripts_are_clean() -> None:
    scripts = [DOCKER / "build", ROOT / ".ci/run"]
    scripts += [path for path in sorted((ROOT / "tools").iterdir()) if path.is_file() and "bash" in _first_line(path)]
    assert len(scripts) > 5
    done = tool("shellcheck", "--severity=style", "--shell=bash", *map(str, scripts))
    assert done.returncode == 0, done.stdout


def _first_line(path: Path) -> str:
    return path.read_bytes().split(b"\n", 1)[0].decode(errors="replace")


@pytest.mark.parametrize("file", sorted(DOCKER.glob("*.Dockerfile")), ids=lambda file: file.name)
def test_dockerfiles_copy_what_there_is_and_end_without_root(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
        assert f"!{source}" in ignored, source
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE)[-1] in ("65532:65532", "1000:1000")
    for extra in re.findall(r'"\.\[(\w+)\]"', text):
        assert extra in PYPROJECT["project"]["optional-dependencies"]


def test_the_chart_uses_the_images_that_are_built() -> None:
    built = {f"searchmesh/{file.name.removesuffix('.Dockerfile')}" for file in DOCKER.glob("*.Dockerfile")}
    assert CHART["image"]["repository"] in built
    assert CHART["jobs"]["models"]["image"]["repository"] in built
    assert f"ARG TRITON={CHART['triton']['image']['tag']}\n" in (DOCKER / "triton.Dockerfile").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of an environment with the wheel and what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("image")
    sources = folder / "sources"
    for source in ("services", "tools"):
        shutil.copytree(ROOT / source, sources / source, ignore=shutil.ignore_patterns("__pycache__"))
    for source in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / source, sources)
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--constraint", "constraints.txt", "."]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


def test_a_serving_image_has_no_training_framework(installed: Path) -> None:
    listed = subprocess.run(
        [installed, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    packages = {line.split("==")[0].lower() for line in listed.stdout.splitlines()}
    assert "searchmesh" in packages
    assert packages.isdisjoint({"torch", "transformers", "onnxruntime", "onnx", "nvidia-pytriton"})


@pytest.fixture
def port() -> int:
    return free_port(100)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_starts_from_the_wheel_and_stops_in_order(
    installed: Path, port: int, name: str, tmp_path: Path
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "SEARCHMESH_PORT": str(port),
        "SEARCHMESH_MODEL_REPOSITORY": str(tmp_path / "models"),
        "SEARCHMESH_CACHE_URL": "",
    }
    # As in the image: another working folder than the sources', and nothing written beside the code.
    command = [installed, "-B", "-m", f"searchmesh.{name}"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port + 100}") as channel:
            request = health_pb2.HealthCheckRequest(service="live")
            health = health_pb2_grpc.HealthStub(channel).Check(request, timeout=30, wait_for_ready=True)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
        assert process.returncode == 0, log
    finally:
        process.kill()
        process.wait()
