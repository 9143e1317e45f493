"""Encrypted ports and API keys: who gets in, and that new certificates and keys need no restart."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from searchmesh.client import AsyncClient
from searchmesh.runtime import auth, renewing
from searchmesh.runtime.auth import ApiKeys
from searchmesh.runtime.channels import connect
from searchmesh.runtime.errors import FailedPrecondition, Unauthenticated, from_rpc_error
from searchmesh.runtime.server import Service, serve
from searchmesh.runtime.settings import ServiceSettings
from searchmesh.runtime.tls import Tls
from searchmesh.v1 import models_pb2, models_pb2_grpc
from support.certificates import Certificates
from support.ports import free_port

KEY = "a-key-of-some-length"


class Models:
    async def List(self, request: models_pb2.ListModelsRequest, call: object) -> models_pb2.ListModelsResponse:
        return models_pb2.ListModelsResponse(models=[models_pb2.Model(name="model")])


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[str]:
    """A service with one method; its address."""
    stop = asyncio.Event()
    service = Service({models_pb2.DESCRIPTOR.services_by_name["Models"]: Models()}, warm=_nothing)
    own = ServiceSettings(port=free_port(100), drain_wait_s=0, **settings)
    task = asyncio.create_task(serve(own, service, stop))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{own.health_port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=5)
    try:
        yield f"127.0.0.1:{own.port}"
    finally:
        stop.set()
        await task


async def _nothing() -> None:
    return None


async def listed(channel: grpc.aio.Channel) -> list[str]:
    answer = await models_pb2_grpc.ModelsStub(channel).List(models_pb2.ListModelsRequest(), timeout=5)
    return [model.name for model in answer.models]


def files(tls: Tls) -> dict[str, object]:
    return {"tls_cert": tls.cert, "tls_key": tls.key, "tls_ca": tls.ca}


async def refused(address: str, tls: Tls | None) -> str:
    async with connect(address, tls=tls, retry=False) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await listed(channel)
    return raised.value.code().name


async def test_a_caller_with_a_certificate_of_the_mesh_is_served(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server, caller = certificates.issue("server"), certificates.issue("caller")
    async with serving(**files(server)) as address, connect(address, tls=caller) as channel:
        assert await listed(channel) == ["model"]


async def test_others_are_not_let_in(tmp_path: Path) -> None:
    certificates, strangers = Certificates(tmp_path / "own"), Certificates(tmp_path / "strange")
    server, stranger = certificates.issue("server"), strangers.issue("stranger")
    async with serving(**files(server)) as address:
        assert await refused(address, None) == "UNAVAILABLE"
        assert await refused(address, Tls(ca=server.ca)) == "UNAVAILABLE"
        assert await refused(address, Tls(stranger.cert, stranger.key, server.ca)) == "UNAVAILABLE"
        assert await refused(address, stranger) == "UNAVAILABLE"


async def test_a_server_with_a_name_that_was_not_asked_for_is_not_trusted(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server, caller = certificates.issue("server", host="other.example"), certificates.issue("caller")
    async with serving(**files(server)) as address:
        assert await refused(address, caller) == "UNAVAILABLE"


async def test_at_the_edge_callers_need_no_certificate(tmp_path: Path) -> None:
    server = Certificates(tmp_path).issue("server")
    async with (
        serving(**files(server), tls_client_auth=False) as address,
        connect(address, tls=Tls(ca=server.ca)) as channel,
    ):
        assert await listed(channel) == ["model"]


def served_certificate(address: str) -> str:
    host, port = address.rsplit(":", 1)
    return ssl.get_server_certificate((host, int(port)))


async def test_a_new_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    server = certificates.issue("server")
    async with serving(**files(server), tls_client_auth=False) as address:
        before = await asyncio.to_thread(served_certificate, address)
        certificates.issue("server")
        after = await asyncio.to_thread(served_certificate, address)
        assert after != before
        assert server.cert is not None
        assert after.strip() == server.cert.read_text().strip()
        server.cert.write_text("half a file")
        assert await asyncio.to_thread(served_certificate, address) == after


async def test_a_channel_takes_up_a_new_certificate_and_finishes_old_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewing, "_CHECK_S", 0.0)
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    caller = old.issue("caller")
    async with serving(**files(old.issue("server"))) as first, serving(**files(new.issue("server"))) as second:
        async with connect(first, tls=caller, retry=False) as channel:
            assert await listed(channel) == ["model"]
        async with connect(second, tls=caller, retry=False) as channel:
            stub = models_pb2_grpc.ModelsStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.List(models_pb2.ListModelsRequest(), timeout=5)
            renewed = new.issue("caller")
            for file, fresh in ((caller.cert, renewed.cert), (caller.key, renewed.key), (caller.ca, renewed.ca)):
                assert file is not None
                assert fresh is not None
                file.write_bytes(fresh.read_bytes())
            assert len((await stub.List(models_pb2.ListModelsRequest(), timeout=5)).models) == 1


def test_certificates_come_whole_or_not_at_all(tmp_path: Path) -> None:
    tls = Certificates(tmp_path).issue()
    with pytest.raises(ValueError, match="go together"):
        ServiceSettings(tls_cert=tls.cert, tls_key=tls.key)
    with pytest.raises(FailedPrecondition, match=r"nothing\.pem cannot be read: No such file"):
        connect("127.0.0.1:1", tls=Tls(ca=tmp_path / "nothing.pem"))


async def test_calls_need_a_key_of_the_file(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"# first\n\n{KEY}\n")
    async with serving(api_keys_file=keys) as address:
        async with connect(address, api_key=KEY) as channel:
            assert await listed(channel) == ["model"]
        for wrong in ("", KEY + "x", KEY[:-1]):
            async with connect(address, api_key=wrong) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await listed(channel)
            error = from_rpc_error(raised.value)
            assert isinstance(error, Unauthenticated)
            assert KEY not in error.message


async def test_the_client_sends_the_key_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    async with serving(api_keys_file=keys) as address:
        async with AsyncClient(embedding=address, api_key=KEY) as client:
            assert [model.name for model in await client.models("embedding")] == ["model"]
        monkeypatch.setenv("SEARCHMESH_API_KEY", KEY)
        async with AsyncClient(embedding=address) as client:
            assert [model.name for model in await client.models("embedding")] == ["model"]


def bearer(key: str) -> list[tuple[str, str | bytes]]:
    return [("user-agent", "test"), ("authorization", f"bearer {key}")]


def test_keys_come_and_go_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_CHECK_S", 0.0)
    file = tmp_path / "keys"
    file.write_text(KEY)
    keys = ApiKeys(file)
    keys.check(bearer(KEY))
    file.write_text("another-key-of-length")
    os.utime(file, ns=(1, 1))
    keys.check(bearer("another-key-of-length"))
    with pytest.raises(Unauthenticated):
        keys.check(bearer(KEY))
    file.unlink()
    keys.check(bearer("another-key-of-length"))


@pytest.mark.parametrize("content", ["", "# none\n", "short\n", f"{KEY}\nshort\n"])
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(FailedPrecondition, match="at least one key, each of at least 16 characters"):
        ApiKeys(file)
