"""The ``searchmesh`` command: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from searchmesh.cli import extensions
from searchmesh.cli.main import app
from searchmesh.runtime.errors import Internal, Overloaded
from searchmesh.v1 import common_pb2, router_pb2
from support.fake_mesh import Served


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEARCHMESH_DEBUG", raising=False)
    return tmp_path / "home"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    served = Served()
    for service in ("ROUTER", "EMBEDDING", "RERANKER"):
        monkeypatch.setenv(f"SEARCHMESH_{service}_TARGET", served.target)
    yield served
    served.close()


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=input, prog_name="searchmesh")


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "fish.md").write_text("# Fish\n\nThe tuna is a fast fish.\n\n## Slow\n\nThe seahorse is slow.\n")
    (folder / "birds.txt").write_text("The swift is a fast bird.")
    return folder


def test_texts_are_embedded(served: Served) -> None:
    result = run("embed", "hello world", "fish")
    assert result.exit_code == 0
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["input", "tokens", "vectors", "first", "components"]
    assert first.startswith("hello world       2        1  ")
    assert "…" in second
    assert "fake · 12 dimensions · float32 · 3 tokens · 2 of 2 cached" in result.stderr


def test_embeddings_as_json_are_whole(served: Served) -> None:
    data = json.loads(run("embed", "-", "--json", "--dtype", "int8", input="one\n\ntwo words\n").stdout)
    assert [len(vector) for vector in data["vectors"]] == [12, 12]
    assert [info["tokens"] for info in data["inputs"]] == [1, 2]
    assert data["dtype"] == "int8"
    data = json.loads(run("embed", "two words", "--json", "--multi-vector").stdout)
    assert [len(vector) for vector in data["vectors"][0]] == [12, 12]


def test_texts_are_reranked(served: Served) -> None:
    result = run("rerank", "fast fish", "a slow bird", "a fast fish")
    assert result.stdout.splitlines()[1].split(maxsplit=2) == ["1.0000", "1", "a fast fish"]
    data = json.loads(run("rerank", "fast fish", "-", "--json", "--top", "1", input="a bird\na fish\n").stdout)
    assert [(result["index"], result["text"]) for result in data["results"]] == [(1, "a fish")]


def test_images_are_reranked_and_looked_for(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"png")
    result = run("rerank", "fast fish", "a fast fish", "--image", str(file), "--instruction", "be fair", "--json")
    assert [one.get("text") or one["image"] for one in json.loads(result.stdout)["results"]] == [
        "a fast fish",
        str(file),
    ]
    run("rerank", "--query-image", str(file), "a bird", "a fish", "--truncation", "refuse")
    text, image = served.mesh.reranked
    assert (text.documents[1].image.data, text.instruction) == (b"png", "be fair")
    assert image.query.image.data == b"png"
    assert [content.text for content in image.documents] == ["a bird", "a fish"]
    assert image.truncation == common_pb2.TRUNCATION_REFUSE


def test_a_query_that_was_cut_is_said(served: Served) -> None:
    assert "the query was cut to 5 tokens" in run("rerank", "one two three four five", "one").stderr


def test_files_are_indexed_found_and_indexed_again(served: Served, docs: Path) -> None:
    first = run("index", str(docs), "--collection", "docs", "--filter-field", "year:number")
    assert first.exit_code == 0
    assert first.stdout == ""
    assert "docs (new): 2 files, 3 documents in" in first.stderr
    assert "3 indexed, 0 unchanged, 0 failed" in first.stderr
    fields = {field.name: field.type for field in served.mesh.collections["docs"].filter_fields}
    assert fields == {"path": router_pb2.FILTER_TYPE_TAG, "year": router_pb2.FILTER_TYPE_NUMBER}

    found = run("search", "fast tuna", "--collection", "docs", "-k", "1")
    assert found.exit_code == 0
    assert found.stdout.splitlines() == [
        "  1. docs/fish.md › Fish",
        "     docs/fish.md#0",
        "     1.0000  dense.text 1.000  fused 1.000",
        "     The tuna is a fast fish.",
        "",
    ]
    assert "3 candidates · ms: embed 0.8 · infer 1.5" in found.stderr

    (docs / "fish.md").write_text("# Fish\n\nThe tuna is a fast fish.\n")
    again = json.loads(run("index", str(docs), "-c", "docs", "--json").stdout)
    assert {key: again[key] for key in ("created", "documents", "unchanged", "removed", "failed")} == {
        "created": False,
        "documents": 2,
        "unchanged": 2,
        "removed": 1,
        "failed": 0,
    }
    assert set(served.mesh.documents["docs"]) == {"docs/fish.md#0", "docs/birds.txt#0"}


def test_documents_that_fail_are_named_and_the_exit_code_says_so(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "good", "text": "text"}\n{"id": "bad", "text": ""}\nnot json\n')
    result = run("index", str(path), "-c", "docs")
    assert result.exit_code == 1
    assert "error: bad: text: is empty" in result.stderr
    assert "error: corpus.jsonl:3: is not JSON" in result.stderr
    assert "1 indexed, 0 unchanged, 2 failed" in result.stderr
    assert json.loads(run("index", str(path), "-c", "docs", "--json").stdout)["failed"] == 2


def test_the_search_is_what_the_options_say(served: Served, docs: Path) -> None:
    run("index", str(docs), "-c", "docs")
    result = run(
        "search", "fish", "-c", "docs", "--mode", "dense", "-k", "2", "--offset", "1", "--no-rerank",
        "--filter", "path=docs/fish.md", "--fusion", "convex", "--dense-weight", "0.7", "--json",
    )  # fmt: skip
    assert len(json.loads(result.stdout)["hits"]) == 2
    (asked,) = served.mesh.searches
    assert (asked.mode, asked.top_k, asked.offset) == (router_pb2.SEARCH_MODE_DENSE, 2, 1)
    assert asked.rerank.HasField("enabled")
    assert not asked.rerank.enabled
    assert asked.filter.tag.values == ["docs/fish.md"]
    assert asked.fusion.dense_weight == pytest.approx(0.7)


def test_what_was_degraded_is_said(served: Served, docs: Path) -> None:
    run("index", str(docs), "-c", "docs")
    served.mesh.degraded = [router_pb2.Degradation(stage="rerank", reason="LATE", message="fused order")]
    result = run("search", "fish", "-c", "docs")
    assert result.exit_code == 0
    assert "error: degraded: rerank: fused order" in result.stderr


def test_collections_are_listed_and_deleted(served: Served, docs: Path) -> None:
    assert "no collection yet" in run("collections", "list").stderr
    run("index", str(docs), "-c", "docs")
    assert run("collections", "list").stdout.splitlines()[1].split() == ["docs", "3", "-", "path:tag"]
    assert json.loads(run("collections", "list", "--json").stdout)[0]["document_count"] == 3
    assert json.loads(run("collections", "delete", "docs", "--json").stdout)["deleted_documents"] == 3
    missing = run("collections", "delete", "docs")
    assert (missing.exit_code, missing.stderr) == (1, "error: no collection is called docs\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("embed", ""), 2, "inputs[0].text: is empty"),
        (("embed", "x", "--dtype", "float64"), 2, ""),
        (("rerank", "query", "text", "--top", "0"), 2, "top_n: must be at least 1, got 0"),
        (("search", "x", "-c", "missing"), 1, "no collection is called missing"),
        (("index", "no/such/file", "-c", "docs"), 2, "PATH: no/such/file does not exist"),
        (("frobnicate",), 2, ""),
    ],
)
def test_failures_are_one_line_and_a_code(served: Served, arguments: tuple[str, ...], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    if message:
        assert result.stderr == f"error: {message}\n"
    assert "Traceback" not in result.output


def test_an_overloaded_mesh_is_unavailable(served: Served) -> None:
    served.mesh.failures = [Overloaded("the queue is full", retry_after_s=60)]
    result = run("embed", "text")
    assert (result.exit_code, result.stderr) == (3, "error: the queue is full\n")


def test_an_internal_error_is_neither(served: Served) -> None:
    served.mesh.failures = [Internal("see the log of the service")]
    assert run("embed", "text").exit_code == 1


def test_a_mesh_that_is_not_there_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHMESH_ROUTER_TARGET", "127.0.0.1:1")
    result = run("search", "x", "-c", "docs")
    assert result.exit_code == 3
    assert result.stderr.startswith("error: nothing answers at 127.0.0.1:1; start the mesh with `searchmesh up`")
    assert result.stderr.count("\n") == 1


def test_debugging_lets_the_traceback_through(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEARCHMESH_DEBUG", "1")
    result = run("search", "x", "-c", "missing")
    assert type(result.exception).__name__ == "NotFound"


def test_without_a_mesh_status_and_down_say_so(home: Path) -> None:
    status = run("status")
    assert (status.exit_code, status.stdout) == (3, "")
    assert f"no mesh runs on {home}" in status.stderr
    assert json.loads(run("status", "--json").stdout) is None
    down = run("down")
    assert (down.exit_code, down.stderr) == (0, f"no mesh runs on {home}\n")
    assert run("logs", "nothing").stderr.startswith("error: no log is called nothing")


def test_the_models_of_the_catalog_are_shown_without_a_mesh() -> None:
    listed = run("models", "list")
    assert listed.exit_code == 0
    assert "all-MiniLM-L6-v2" in listed.stdout
    (model,) = [
        model for model in json.loads(run("models", "list", "--json").stdout) if model["name"] == "jina-clip-v2"
    ]
    assert (model["modalities"], model["exported"]) == (["text", "image"], None)
    assert "Apache-2.0" in run("models", "show", "all-MiniLM-L6-v2").stdout
    assert json.loads(run("models", "show", "all-MiniLM-L6-v2", "--json").stdout)["max_tokens"] == 256
    unknown = run("models", "show", "all-MiniLM")
    assert unknown.exit_code == 1
    assert "did you mean all-MiniLM-L6-v2" in unknown.stderr


def _offer(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    found = EntryPoints([EntryPoint("bench", value, extensions.GROUP)])
    monkeypatch.setattr(extensions, "entry_points", lambda **selection: found.select(**selection))


def a_command(name: str, times: int = 1) -> None:
    """Say a name."""
    typer.echo(f"{name} " * times)
    if times == 0:
        raise Internal("never")
    if times > 4:
        raise typer.Exit(times)


def test_commands_of_other_packages_get_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    _offer(monkeypatch, f"{__name__}:a_command")
    assert run("bench", "x", "--times", "2").stdout == "x x \n"
    help = run("bench", "--help")
    assert "Say a name." in help.stdout
    assert "Usage: searchmesh bench" in help.stdout
    assert run("bench", "x", "--times", "many").exit_code == 2
    assert run("bench", "x", "--times", "0").exit_code == 1
    assert run("bench", "x", "--times", "5").exit_code == 5


@pytest.mark.parametrize("command", [["bench"], ["eval", "folder"]])
def test_a_command_whose_package_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    _offer(monkeypatch, "no_such_package:command")
    result = run(*command)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"error: `searchmesh {command[0]}` needs more to be installed: pip install 'searchmesh["
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [[], ["index"], ["search"], ["models"], ["models", "list"], ["logs"]])
def test_help_explains_every_command_within_80_columns(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from searchmesh.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'grpc', 'numpy', 'pydantic', 'opentelemetry', 'google.protobuf'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
