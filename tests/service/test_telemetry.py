"""One trace through every process, and metrics under the names that dashboards use."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from searchmesh.client import AsyncClient, Document
from searchmesh.local import MeshSettings, free_port_offset
from searchmesh.local.control import down, up_detached
from support.client import client_of


def _protobuf_spans(body: bytes) -> Iterator[tuple[str, str, str]]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield span.trace_id.hex(), service, span.name


def _json_spans(body: bytes) -> Iterator[tuple[str, str, str]]:
    for resource in json.loads(body)["resourceSpans"]:
        attributes = {a["key"]: a["value"] for a in resource["resource"]["attributes"]}
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield span["traceId"], attributes["service.name"]["stringValue"], span["name"]


class Collector:
    """An OTLP/HTTP collector: span names by service and trace."""

    def __init__(self) -> None:
        self.spans: dict[str, list[tuple[str, str]]] = {}
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                read = _json_spans if "json" in self.headers["Content-Type"] else _protobuf_spans
                for trace, service, span in read(body):
                    spans.setdefault(trace, []).append((service, span))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


async def test_a_search_is_one_trace_from_the_router_into_triton(
    repository: Path, tmp_path: Path, collector: Collector
) -> None:
    (tmp_path / "repository").symlink_to(repository)
    settings = MeshSettings(home=tmp_path, port_offset=free_port_offset(), otlp_endpoint=collector.url)
    await asyncio.to_thread(up_detached, settings)
    try:
        async with client_of(settings) as client:
            await client.create_collection("traced")
            async for _ in client.index("traced", [Document("1", text="a traced document")]):
                pass
            await client.search("traced", "something nobody has asked before", rerank=True)
    finally:
        # Stopping makes every process send what it has.
        await asyncio.to_thread(down, tmp_path)
    searches = [
        spans for spans in collector.spans.values() if ("searchmesh-router", "searchmesh.v1.Router/Search") in spans
    ]
    assert len(searches) == 1
    names = set(searches[0])
    assert ("searchmesh-embedding", "searchmesh.v1.Embedding/Embed") in names
    assert ("searchmesh-reranker", "searchmesh.v1.Reranker/Rerank") in names
    assert ("searchmesh-embedding", "triton.infer") in names
    assert any(service == "triton" for service, _ in names), names


async def test_metrics_have_the_names_that_scaling_and_dashboards_use(client: AsyncClient, mesh: MeshSettings) -> None:
    await client.embed(["count me"], bypass_cache=True)
    await client.rerank("count", ["me too"])

    def scrape(port: int) -> str:
        return str(urllib.request.urlopen(f"http://127.0.0.1:{port + 200}/metrics", timeout=5).read().decode())

    for port in (mesh.ports.embedding, mesh.ports.reranker):
        text = await asyncio.to_thread(scrape, port)
        for name in (
            "grpc_server_duration_seconds_bucket",
            "grpc_server_duration_seconds_count",
            "grpc_server_in_flight",
            "inference_pool_items_offered_total",
            "inference_pool_tokens_offered_total",
            "inference_pool_batch_rows_total",
            "inference_pool_batch_tokens_total",
            "inference_pool_batch_duration_seconds_bucket",
            "inference_pool_queued_tokens",
            "inference_pool_oldest_age_seconds",
        ):
            assert f"\n{name}" in text, name
        assert 'pool="all-MiniLM-L6-v2"' in text
        assert 'code="OK"' in text
