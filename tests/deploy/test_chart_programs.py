"""The programs take what the chart gives them: the real services, tritonserver, redis-server and commands."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from searchmesh.client.settings import ClientSettings
from searchmesh.local import MeshSettings
from searchmesh.runtime.settings import ServiceSettings
from support.certificates import Certificates
from support.chart import (
    CHART,
    MODES,
    NAMESPACE,
    Object,
    component,
    containers,
    environment,
    named,
    pods,
    render,
    rendered,
    template,
)
from support.chart_triton import Triton, replaced
from support.models import MODEL
from support.ports import free_port
from support.redis_server import RedisServer

SERVICES = ("router", "embedding", "reranker", "reader", "vlm")
CHECKS = CHART / "files/checks"


def _settings(service: str) -> type[ServiceSettings]:
    if importlib.util.find_spec(f"searchmesh.{service}") is None:
        pytest.skip(f"there is no {service} service")
    return getattr(import_module(f"searchmesh.{service}.settings"), f"{service.title()}Settings")  # type: ignore[no-any-return]


def _given(service: str) -> Iterator[dict[str, str]]:
    """The environment of a service in every mode that has it; what comes from a Secret is a password in a URL."""
    for mode in MODES:
        for _, pod in pods(rendered(mode)):
            if component(pod) == service:
                entries = containers(pod)[-1]["env"]
                yield {entry["name"]: entry.get("value", "redis://:secret@host:6379/0") for entry in entries}


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting_of_its_service(service: str) -> None:
    """Settings ignore variables that they do not know, so a misspelt one would be silent."""
    fields = {f"SEARCHMESH_{name.upper()}" for name in _settings(service).model_fields}
    for variables in _given(service):
        unknown = {name for name in variables if name.startswith("SEARCHMESH_")} - fields
        assert unknown == set()


@pytest.mark.parametrize("service", SERVICES)
def test_services_take_the_values_of_their_variables(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(service)
    for variables in _given(service):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            read = settings()
        assert read.port == int(variables["SEARCHMESH_PORT"])
        assert read.host == "0.0.0.0"


def test_checks_run_on_settings_of_the_client() -> None:
    fields = {f"SEARCHMESH_{name.upper()}" for name in ClientSettings.model_fields}
    for _, pod in pods(rendered("keda-tls")):
        if component(pod) == "test":
            given = {entry["name"] for entry in containers(pod)[0]["env"]}
            assert given - {"SEARCHMESH_READER_TARGET", "SEARCHMESH_VLM_TARGET"} <= fields


async def test_helm_tests_pass_on_a_mesh_that_works(mesh: MeshSettings) -> None:
    ports = mesh.ports
    health = [f"127.0.0.1:{port + 100}" for port in (ports.router, ports.embedding, ports.reranker)]
    assert "SERVING" in await _check(mesh, "health", *health)
    assert "norm 1.0" in await _check(mesh, "embed", "--cached")
    assert "best: 1, degraded: ()" in await _check(mesh, "search")


async def test_helm_tests_fail_on_a_mesh_that_does_not(mesh: MeshSettings) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        await _check(mesh, "embed", SEARCHMESH_EMBEDDING_TARGET="127.0.0.1:1")


async def _check(mesh: MeshSettings, name: str, *arguments: str, **variables: str) -> str:
    targets = {
        "SEARCHMESH_ROUTER_TARGET": f"127.0.0.1:{mesh.ports.router}",
        "SEARCHMESH_EMBEDDING_TARGET": f"127.0.0.1:{mesh.ports.embedding}",
    }
    command = [sys.executable, "-c", (CHECKS / f"{name}.py").read_text(), *arguments]
    environment = os.environ | targets | variables
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=True, timeout=150
    )
    return str(done.stdout)


def _index(channel: grpc.Channel, key: str | None = None) -> service_pb2.RepositoryIndexResponse:
    metadata = [("triton-grpc-protocol-admin", key)] if key else []
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    return stub.RepositoryIndex(service_pb2.RepositoryIndexRequest(), metadata=metadata, timeout=5)


def test_tritonserver_starts_on_its_arguments_and_is_closed_to_control(mesh: MeshSettings) -> None:
    triton = Triton(mesh, rendered("cpu-only"))
    with triton.running() as process:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container = containers(template(named(rendered("cpu-only"), "Deployment", "triton-encoders")))[0]
            assert triton.status(container[probe]["httpGet"]["path"]) == 200
        assert triton.status(f"/v2/models/{MODEL}/infer", b"{}") == 403
        assert triton.status(f"/v2/repository/models/{MODEL}/unload", b"{}") == 403
        with urllib.request.urlopen(f"http://127.0.0.1:{triton.metrics}/metrics", timeout=5) as answer:
            assert "nv_inference_pending_request_count" in answer.read().decode()
        with grpc.insecure_channel(f"127.0.0.1:{triton.grpc}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ModelReady(service_pb2.ModelReadyRequest(name=MODEL), timeout=5).ready
            with pytest.raises(grpc.RpcError, match="restricted"):
                _index(channel)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_an_operator_with_the_key_may_control_tritonserver(mesh: MeshSettings) -> None:
    triton = Triton(mesh, rendered("cpu-only"))
    with triton.running(ADMIN_KEY="a-key"), grpc.insecure_channel(f"127.0.0.1:{triton.grpc}") as channel:
        assert MODEL in [model.name for model in _index(channel, "a-key").models]
        with pytest.raises(grpc.RpcError):
            _index(channel, "another")


def test_tritonserver_with_tls_takes_callers_with_a_certificate_only(mesh: MeshSettings, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = certificates.issue(host="localhost")
    objects = render("cpu-only", "tls.enabled=true", "tls.issuerRef.name=ca")
    files = {"/run/tls/tls.crt": str(tls.cert), "/run/tls/tls.key": str(tls.key), "/run/tls/ca.crt": str(tls.ca)}
    triton = Triton(mesh, objects, **files)
    assert tls.ca is not None and tls.cert is not None and tls.key is not None  # noqa: PT018
    stranger = grpc.ssl_channel_credentials(tls.ca.read_bytes())
    ours = grpc.ssl_channel_credentials(tls.ca.read_bytes(), tls.key.read_bytes(), tls.cert.read_bytes())
    with triton.running():
        with grpc.secure_channel(f"localhost:{triton.grpc}", ours) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5).ready
        with grpc.secure_channel(f"localhost:{triton.grpc}", stranger) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError):
                stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=5)


@contextmanager
def _pods(objects: list[Object], places: dict[str, str], *names: str, **secrets: str) -> Iterator[None]:
    """The services of rendered Deployments, as processes; what is elsewhere here is replaced in their environment."""
    processes = []
    try:
        for name in names:
            container = containers(template(named(objects, "Deployment", name)))[0]
            variables = {key: replaced(value, places) for key, value in environment(container).items()}
            command = [sys.executable, *container["command"][1:]]
            processes.append(subprocess.Popen(command, env=os.environ | variables | secrets))
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            assert process.wait(timeout=60) == 0


async def test_a_release_with_tls_and_keys_answers_its_own_helm_tests(mesh: MeshSettings, tmp_path: Path) -> None:
    """Router, embedding and tritonserver as rendered; the index is the mesh's, and names lead to this machine."""
    values = (
        "tls.enabled=true",
        "tls.issuerRef.name=ca",
        "apiKeys.existingSecret=keys",
        "services.embedding.exposed=true",
    )
    objects = render("cpu-only", *values, "services.reranker.enabled=false", "redisCache.mode=none")
    tls = Certificates(tmp_path).issue(host="localhost")
    places = {"/run/tls/tls.crt": str(tls.cert), "/run/tls/tls.key": str(tls.key), "/run/tls/ca.crt": str(tls.ca)}
    triton = Triton(mesh, objects, **places)
    router, embedding = free_port(100, 200), free_port(100, 200)
    key = "a-key-of-the-mesh-itself"
    (tmp_path / "keys").write_text(f"somebody-elses-key\n{key}\n")
    places |= {
        _service_of("triton-encoders", 8001): f"localhost:{triton.grpc}",
        _service_of("embedding", 7101): f"localhost:{embedding}",
        "/run/api-keys/keys": str(tmp_path / "keys"),
        "/models": str(mesh.folder.repository),
    }
    index = re.compile(r"^rediss://.*redis-index.*$")
    for name, port in (("router", router), ("embedding", embedding)):
        for entry in containers(template(named(objects, "Deployment", name)))[0]["env"]:
            if entry["name"] == "SEARCHMESH_PORT":
                entry["value"] = str(port)
            elif index.match(entry.get("value", "")):
                entry["value"] = f"redis://127.0.0.1:{mesh.ports.redis_index}/0"
    checking = {
        "SEARCHMESH_ROUTER_TARGET": f"localhost:{router}",
        "SEARCHMESH_EMBEDDING_TARGET": f"localhost:{embedding}",
        "SEARCHMESH_TLS_CERT": str(tls.cert),
        "SEARCHMESH_TLS_KEY": str(tls.key),
        "SEARCHMESH_TLS_CA": str(tls.ca),
    }
    with triton.running(), _pods(objects, places, "embedding", "router", SEARCHMESH_API_KEY=key):
        assert "SERVING" in await _check(mesh, "health", f"localhost:{router + 100}", f"localhost:{embedding + 100}")
        assert "norm 1.0" in await _check(mesh, "embed", **checking, SEARCHMESH_API_KEY=key)
        assert "best: 1" in await _check(mesh, "search", **checking, SEARCHMESH_API_KEY=key)
        with pytest.raises(subprocess.CalledProcessError) as refused:
            await _check(mesh, "embed", **checking)
        assert "Unauthenticated" in refused.value.stderr


def _service_of(name: str, port: int) -> str:
    return f"dns:///mesh-searchmesh-{name}-headless.{NAMESPACE}.svc:{port}"


def _redis(mode: str, which: str) -> list[str]:
    """The arguments of a Redis, its password put in as Kubernetes does."""
    container = containers(template(named(rendered(mode), "StatefulSet", f"redis-{which}")))[0]
    return [argument.replace("$(REDISCLI_AUTH)", "a-password") for argument in container["args"]]


def test_redis_takes_its_arguments(tmp_path: Path) -> None:
    wanted = {"cache": ("allkeys-lfu", "no"), "index": ("noeviction", "yes")}
    for which, (policy, append) in wanted.items():
        folder = tmp_path / which
        folder.mkdir()
        with RedisServer(folder, *_redis("cpu-only", which)) as server, server.client() as client:
            config = client.config_get("maxmemory-policy", "appendonly", "save")
            assert config == {"maxmemory-policy": policy, "appendonly": append, "save": ""}


@pytest.mark.parametrize("url", ["s3://bucket/models", "s3://https://minio.storage.svc:9000/bucket/models"])
def test_cards_are_read_from_where_triton_reads_graphs(url: str) -> None:
    objects = render("s3", f"modelRepository.s3.url={url}")
    init = template(named(objects, "Deployment", "embedding"))["spec"]["initContainers"][0]
    assert "s3://bucket/models" in init["command"]
    assert ("https://minio.storage.svc:9000" in init["command"]) == ("minio" in url)
    assert init["command"][init["command"].index("--exclude") + 1] == "*/[0-9]*/*"
    args = containers(template(named(objects, "Deployment", "triton-encoders")))[0]["args"]
    assert f"--model-repository={url}" in args
