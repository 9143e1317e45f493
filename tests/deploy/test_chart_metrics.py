"""Every metric that rules, scalers and dashboards name is one that a running service, tritonserver or exporter has."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import promql_parser

from searchmesh.client import AsyncClient, Document
from searchmesh.local import MeshSettings
from searchmesh.runtime.errors import Overloaded, Unavailable
from support.chart import CHART, MODES, of_kind, rendered
from support.chart_gates import expressions
from support.checkpoints_reader import write_reader
from support.exports import serving
from support.mesh import eventually
from support.ports import free_port

FOREIGN = {
    "up": "Prometheus",
    "redis_up": "redis_exporter",
    "redis_memory_used_bytes": "redis_exporter",
    "redis_memory_max_bytes": "redis_exporter",
    "redis_evicted_keys_total": "redis_exporter",
    "redis_commands_processed_total": "redis_exporter",
    "redis_keyspace_hits_total": "redis_exporter",
    "redis_keyspace_misses_total": "redis_exporter",
    "redis_connected_clients": "redis_exporter",
    "kube_cronjob_status_last_successful_time": "kube-state-metrics",
    "kube_job_status_failed": "kube-state-metrics",
    "kube_job_status_succeeded": "kube-state-metrics",
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager",
    "nv_gpu_memory_used_bytes": "tritonserver on a GPU",
    "nv_gpu_memory_total_bytes": "tritonserver on a GPU",
    "nv_gpu_utilization": "tritonserver on a GPU",
}
"""What cannot be scraped here, and who has it."""


def _dashboard_queries() -> Iterator[tuple[str, str]]:
    for path in sorted((CHART / "files/dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']}", target["expr"].replace("$__rate_interval", "5m")
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
                assert asked
                yield f"{path.name}: variable {variable['name']}", asked[1]


def _used() -> dict[str, str]:
    """Metric name → a place that uses it."""
    places = [*_dashboard_queries(), *(one for mode in MODES for one in expressions(rendered(mode)))]
    return {name: place for place, query in places for name in _names(promql_parser.parse(query))}


def _names(node: object) -> Iterator[str]:
    """Names of the metrics that an expression selects."""
    if isinstance(node, promql_parser.VectorSelector):
        assert node.name, "a selector without a name reads everything"
        yield node.name
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from _names(node.vector_selector)
    else:
        for field in ("expr", "lhs", "rhs", "param"):
            if (inner := getattr(node, field, None)) is not None:
                yield from _names(inner)
        for inner in getattr(node, "args", []):
            yield from _names(inner)


def _recorded() -> set[str]:
    rules = [rule for mode in MODES for rule in of_kind(rendered(mode), "PrometheusRule")]
    groups = [group for rule in rules for group in rule["spec"]["groups"]]
    return {one["record"] for group in groups for one in group["rules"] if "record" in one}


def _scraped(port: int) -> set[str]:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    return set(re.findall(r"^([a-zA-Z_:][\w:]*)[{ ]", text, re.MULTILINE))


@contextmanager
def _service(name: str, mesh: MeshSettings, **settings: str) -> Iterator[int]:
    """One more process of a service, beside those of the mesh and on their backends."""
    port = free_port(100, 200)
    ports = mesh.ports
    environment = {
        "SEARCHMESH_PORT": str(port),
        "SEARCHMESH_TRITON_URL": f"127.0.0.1:{ports.triton_grpc}",
        "SEARCHMESH_MODEL_REPOSITORY": str(mesh.folder.repository),
        "SEARCHMESH_CACHE_URL": "",
        "SEARCHMESH_INDEX_URL": f"redis://127.0.0.1:{ports.redis_index}/0",
        "SEARCHMESH_EMBEDDING_TARGET": f"127.0.0.1:{ports.embedding}",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", f"searchmesh.{name}"], env=os.environ | environment | settings, stderr=subprocess.DEVNULL
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
        yield port
    finally:
        process.kill()
        process.wait()


async def _of_texts(folder: Path) -> set[str]:
    """What a service with a model that generates has, once that has written a text and another one was refused."""
    write_reader(folder / "checkpoint")
    with (
        serving(folder / "home", {"ReaderLM-v2": folder / "checkpoint"}) as mesh,
        _service("reader", mesh, SEARCHMESH_GENERATION_SLOTS="1", SEARCHMESH_GENERATION_WAITING="0") as port,
    ):
        async with AsyncClient(reader=f"127.0.0.1:{port}", timeout_s=30) as client:
            page = b"<p>One and another page.</p>"

            async def reads() -> bool:
                with suppress(Unavailable):
                    await client.read(page, engine="model", max_tokens=200)
                    return True
                return False

            await eventually(reads, "the reader is ready", timeout_s=30)
            asked = [client.read(page, engine="model", max_tokens=200) for _ in range(6)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert any(isinstance(answer, Overloaded) for answer in answers), answers
        return await asyncio.to_thread(_scraped, port + 200)


async def test_every_metric_that_is_used_is_there(client: AsyncClient, mesh: MeshSettings, tmp_path: Path) -> None:
    await client.embed(["count me"], bypass_cache=True)
    await client.embed(["count me", "count me"])
    await client.create_collection("measured", reranker=mesh.default_model)
    async for _ in client.index("measured", [Document("1", text="a document that is measured")]):
        pass
    await client.search("measured", "documents", rerank=True)
    ports = mesh.ports
    there = set()
    # A stage that fails and a queue that overflows are counted once there is one.
    with (
        _service("router", mesh, SEARCHMESH_RERANKER_TARGET="127.0.0.1:1") as router,
        _service("embedding", mesh, SEARCHMESH_MAX_QUEUED_TOKENS="1", SEARCHMESH_SLOTS="1") as embedding,
    ):
        targets = {"router": f"127.0.0.1:{router}", "embedding": f"127.0.0.1:{embedding}"}
        async with AsyncClient(**targets, timeout_s=5) as failing:
            await failing.search("measured", "documents", rerank=True)
            asked = [failing.embed([f"text {n} of {m}, and a long one " * 10 for n in range(64)]) for m in range(6)]
            await asyncio.gather(*asked, return_exceptions=True)
        services = (ports.router, ports.embedding, ports.reranker, router, embedding)
        for port in (*(one + 200 for one in services), ports.triton_metrics):
            there |= await asyncio.to_thread(_scraped, port)
    there |= await _of_texts(tmp_path)
    missing = {name: place for name, place in _used().items() if name not in there | _recorded() | FOREIGN.keys()}
    assert missing == {}


def test_what_is_recorded_and_what_is_foreign_is_used() -> None:
    used = _used()
    assert FOREIGN.keys() <= used.keys()
    # The signals that no rule or dashboard reads are read by prometheus-adapter.
    adapter = re.search(r"\^searchmesh:\((.+)\)\$", (CHART / "files/prometheus-adapter.yaml").read_text())
    assert adapter
    published = {f"searchmesh:{name}" for name in adapter[1].split("|")}
    assert published <= _recorded() <= used.keys() | published


def test_dashboard_panels_say_which_metric_store_they_read() -> None:
    for path in (CHART / "files/dashboards").glob("*.json"):
        dashboard = json.loads(path.read_text())
        assert dashboard["uid"] == f"searchmesh-{path.stem}"
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        assert len(places) == len(set(places))
        for panel in dashboard["panels"]:
            assert panel["type"] == "row" or panel["datasource"]["uid"] == "${datasource}"


def test_horizontal_pod_autoscalers_ask_for_what_the_adapter_publishes() -> None:
    adapter = (CHART / "files/prometheus-adapter.yaml").read_text()
    recorded = _recorded()
    asked = {
        metric["external"]["metric"]["name"]
        for scaler in of_kind(rendered("hpa-engines"), "HorizontalPodAutoscaler")
        for metric in scaler["spec"]["metrics"]
        if metric["type"] == "External"
    }
    assert asked == {"searchmesh_in_flight", "searchmesh_pool_demand", "searchmesh_pool_backlog"}
    for name in asked:
        assert name.replace("searchmesh_", "searchmesh:") in recorded
        assert name.removeprefix("searchmesh_") in adapter
