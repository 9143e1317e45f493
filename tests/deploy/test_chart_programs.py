"""The programs take what the chart gives them: the real services, tritonserver, redis-server and commands."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import grpc
import pytest
import yaml
from tritonclient.grpc import service_pb2, service_pb2_grpc
from typer.testing import CliRunner

from searchmesh.cli.main import app
from searchmesh.client.settings import ClientSettings
from searchmesh.local import MeshSettings, binaries
from searchmesh.local.triton import _environment as triton_environment
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
    of_kind,
    pods,
    render,
    rendered,
    template,
    tools,
)
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


def test_jobs_call_commands_with_options_that_exist() -> None:
    lines = [
        line.split()
        for mode in MODES
        for job in of_kind(rendered(mode), "Job")
        for line in "\n".join(template(job)["spec"]["containers"][0]["args"]).splitlines()
        if line.startswith("searchmesh ")
    ]
    assert lines
    for _, group, command, _, *options in lines:
        told = CliRunner().invoke(app, [group, command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        for option in (word.strip("'") for word in options if word.strip("'").startswith("--")):
            assert option in told, f"{group} {command} has no {option}"


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


class Triton:
    """The real tritonserver, started by the shell command and the arguments of a rendered pod."""

    def __init__(self, mesh: MeshSettings, objects: list[Object], **paths: str) -> None:
        container = containers(template(named(objects, "Deployment", "triton-encoders")))[0]
        self.grpc, self.http, self.metrics = (free_port() for _ in range(3))
        self._log = mesh.folder.path / f"triton-{self.grpc}.log"
        paths |= {"/models": str(mesh.folder.repository)}
        arguments = [_replaced(argument, paths) for argument in container["args"]]
        arguments += [f"--{name}-port={getattr(self, name)}" for name in ("grpc", "http", "metrics")]
        arguments += [
            f"--backend-directory={mesh.folder.backends}",
            "--backend-config=python,shm-region-prefix-name=chart",
        ]
        self._command = [*container["command"], *arguments]

    @contextmanager
    def running(self, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        environment = triton_environment() | variables
        environment["PATH"] = f"{binaries.tritonserver().parent}{os.pathsep}{environment['PATH']}"
        with self._log.open("w") as log:
            process = subprocess.Popen(self._command, env=environment, stderr=log)
        try:
            for _ in range(600):
                if self.status(f"/v2/models/{MODEL}/ready") == 200:
                    break
                assert process.poll() is None, self._log.read_text()[-2000:]
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=60)

    def status(self, path: str, data: bytes | None = None) -> int:
        """Of a request to the HTTP port; 0 if nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", data, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def _replaced(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text


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
            variables = {key: _replaced(value, places) for key, value in environment(container).items()}
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


def test_the_index_is_backed_up_and_old_copies_go(tmp_path: Path) -> None:
    job = named(rendered("airgap"), "CronJob", "index-backup")
    container = containers(template(job))[0]
    backups = tmp_path / "backups"
    backups.mkdir()
    for number in range(9):
        (backups / f"index-2020010{number}T000000Z.rdb").write_bytes(b"")
    # redis-server is also the checker of its files, by the name that it is called.
    (tmp_path / "redis-check-rdb").symlink_to(binaries.redis_server())
    with RedisServer(tmp_path) as server, server.client() as client:
        client.set("document", "kept")
        script = container["args"][0].replace("/backup", str(backups))
        variables = {
            "PATH": f"{tools()}:{tmp_path}:{os.environ['PATH']}",
            "LD_LIBRARY_PATH": str(tools()),
            "SEARCHMESH_INDEX_URL": server.url,
            "KEEP": environment(container)["KEEP"],
        }
        subprocess.run([*container["command"], script], env=variables, check=True, capture_output=True)
    kept = sorted(path.name for path in backups.iterdir())
    assert len(kept) == 7
    newest = backups / kept[-1]
    assert re.fullmatch(r"index-\d{8}T\d{6}Z\.rdb", newest.name)
    assert b"kept" in newest.read_bytes()


def test_a_backup_that_fails_leaves_the_old_copies(tmp_path: Path) -> None:
    container = containers(template(named(rendered("airgap"), "CronJob", "index-backup")))[0]
    old = tmp_path / "index-20200101T000000Z.rdb"
    old.write_bytes(b"old")
    script = container["args"][0].replace("/backup", str(tmp_path))
    variables = {"PATH": f"{tools()}:{os.environ['PATH']}", "LD_LIBRARY_PATH": str(tools()), "KEEP": "1"}
    variables["SEARCHMESH_INDEX_URL"] = "redis://127.0.0.1:1/0"
    done = subprocess.run([*container["command"], script], env=variables, check=False, capture_output=True)
    assert done.returncode != 0
    assert old.read_bytes() == b"old"
    assert [path.name for path in tmp_path.glob("index-*.rdb")] == [old.name]


def test_engines_stand_beside_each_other(tmp_path: Path) -> None:
    """With the exporter's layout and a builder that only writes: trtexec needs a GPU."""
    model = tmp_path / "models/jina-embeddings-v3"
    (model / "1").mkdir(parents=True)
    (model / "1/model.onnx").write_text("graph")
    (model / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    (model / "config.plan.pbtxt").write_text('backend: "tensorrt"\n')
    build = model / "build-plan.sh"
    build.write_text('#!/bin/sh\ncd "$(dirname "$0")"\necho engine > 1/model.plan\ncp config.plan.pbtxt config.pbtxt\n')
    build.chmod(0o755)
    container = next(
        containers(template(one))[0]
        for one in of_kind(rendered("hpa-engines"), "Job")
        if "engines-l4" in one["metadata"]["name"]
    )
    (tmp_path / "scratch").mkdir()
    script = _replaced(
        container["args"][0], {"/models": str(tmp_path / "models"), "/scratch": str(tmp_path / "scratch")}
    )
    subprocess.run([*container["command"], script], check=True)
    assert (model / "1/l4.plan").read_text() == "engine\n"
    assert (model / "configs/l4.pbtxt").read_text() == 'default_model_filename: "l4.plan"\nbackend: "tensorrt"\n'
    assert (model / "config.pbtxt").read_text() == 'backend: "onnxruntime"\n', "other pools still serve the graph"
    serving = containers(template(named(rendered("hpa-engines"), "Deployment", "triton-l4")))[0]
    assert "--model-config-name=l4" in serving["args"]


def test_models_are_held_against_their_lock(tmp_path: Path) -> None:
    container = next(
        containers(template(one))[0]
        for one in of_kind(rendered("hpa-engines"), "Job")
        if component(template(one)) == "models"
    )
    lines = [line for line in container["args"][0].splitlines() if not line.startswith("searchmesh ")]
    places = {"/lock/models.sha256": str(tmp_path / ".lock/models.sha256"), "cd /models": f"cd {tmp_path}"}
    script = _replaced("\n".join(lines), places)
    (tmp_path / ".lock").mkdir()
    (lock,) = (one for one in of_kind(rendered("hpa-engines"), "ConfigMap") if "models.sha256" in one["data"])
    (tmp_path / ".lock/models.sha256").write_text(lock["data"]["models.sha256"])
    card = tmp_path / "jina-embeddings-v3/card.json"
    card.parent.mkdir()
    card.write_bytes(b"")

    def verified() -> subprocess.CompletedProcess[str]:
        return subprocess.run([*container["command"], script], capture_output=True, text=True, check=False)

    done = verified()
    assert done.returncode == 0, done.stderr
    assert "jina-embeddings-v3/card.json" in done.stdout
    card.write_bytes(b"changed")
    assert verified().returncode != 0


@pytest.mark.parametrize("url", ["s3://bucket/models", "s3://https://minio.storage.svc:9000/bucket/models"])
def test_cards_are_read_from_where_triton_reads_graphs(url: str) -> None:
    objects = render("s3", f"modelRepository.s3.url={url}")
    init = template(named(objects, "Deployment", "embedding"))["spec"]["initContainers"][0]
    assert "s3://bucket/models" in init["command"]
    assert ("https://minio.storage.svc:9000" in init["command"]) == ("minio" in url)
    assert init["command"][init["command"].index("--exclude") + 1] == "*/[0-9]*/*"
    args = containers(template(named(objects, "Deployment", "triton-encoders")))[0]["args"]
    assert f"--model-repository={url}" in args


def test_notes_warn_of_what_is_missing() -> None:
    def notes(mode: str) -> str:
        arguments = ["install", "mesh", str(CHART), "--namespace", NAMESPACE, "--dry-run=client"]
        program = [str(tools() / "helm4"), *arguments, "--values", str(CHART / "ci" / f"{mode}.yaml")]
        environment = os.environ | {"KUBECONFIG": "/dev/null"}
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("NOTES:")[2]

    open_one = notes("default")
    for warned in ("plaintext", "names no registry", "no Job fills it", "no alerts"):
        assert warned in open_one
    whole = notes("keda-tls")
    assert "plaintext" not in whole
    assert "without a key" not in whole
    assert "900 items/s a pod" in whole
    assert "dns:///mesh-searchmesh-router-headless.search.svc:7100" in whole


def test_extra_objects_are_rendered_as_templates(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    extra = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}}
    base = yaml.safe_load((CHART / "ci/default.yaml").read_text())
    values.write_text(yaml.safe_dump(base | {"extraObjects": [extra]}))
    assert [one["metadata"]["name"] for one in of_kind(render(values), "ConfigMap")] == ["mesh-extra"]
