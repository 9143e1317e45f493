"""``searchmesh read``: text on standard output as it comes, everything else beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from searchmesh.cli.main import app
from searchmesh.runtime.errors import FailedPrecondition
from searchmesh.v1 import common_pb2, reader_pb2
from support.fake_mesh import Served


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path / "home"))
    served = Served()
    monkeypatch.setenv("SEARCHMESH_READER_TARGET", served.target)
    yield served
    served.close()


@pytest.fixture
def page(tmp_path: Path) -> str:
    (tmp_path / "page.html").write_text("<p>some words")
    return str(tmp_path / "page.html")


def run(*arguments: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["read", *arguments], input=input, prog_name="searchmesh")


def test_a_file_is_sent_and_its_text_printed_under_its_title(served: Served, page: str) -> None:
    result = run(page, "--url", "https://e.example/")
    assert (result.exit_code, result.stdout) == (0, "# A boat\n\nsome words\n")
    assert "A boat · read by rules (as requested) · 3 tokens · ms: infer 1.5" in result.stderr
    (request,) = served.mesh.reads
    assert (request.page.data, request.page.content_type) == (b"<p>some words", "text/html")
    assert request.page.url == "https://e.example/"


def test_a_url_is_left_to_the_service(served: Served) -> None:
    assert run("https://e.example/x", "--format", "text").stdout == "some words\n"
    assert served.mesh.reads[0].url == "https://e.example/x"


def test_standard_input_is_read(served: Served) -> None:
    assert run("-", input=b"\xff\xfe").exit_code == 0
    assert served.mesh.reads[0].page.data == b"\xff\xfe"


def test_all_options_arrive(served: Served, page: str, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "array"}')
    result = run(
        page, "--engine", "model", "--model", "m", "-i", "List them.", "--json-schema", str(tmp_path / "schema.json"),
        "--target", "main", "--target", "#x", "--remove", "nav", "--whole-page", "--links", "text", "--images", "none",
        "--links-summary", "--images-summary", "--max-tokens", "9",
    )  # fmt: skip
    assert result.exit_code == 0
    (request,) = served.mesh.reads
    assert (request.engine, request.model, request.instruction) == (reader_pb2.READ_ENGINE_MODEL, "m", "List them.")
    assert (request.json_schema, request.format) == ('{"type": "array"}', reader_pb2.READ_FORMAT_JSON)
    assert (list(request.target_selectors), list(request.remove_selectors)) == (["main", "#x"], ["nav"])
    assert (request.links, request.images) == (reader_pb2.RETENTION_TEXT, reader_pb2.RETENTION_NONE)
    assert request.whole_page
    assert request.links_summary
    assert request.images_summary
    assert request.max_tokens == 9


def test_a_schema_may_stand_on_the_command_line(served: Served, page: str) -> None:
    assert run(page, "--json-schema", '{"type": "array"}').exit_code == 0
    assert served.mesh.reads[0].json_schema == '{"type": "array"}'


def test_everything_that_is_known_is_printed_as_json(served: Served, page: str) -> None:
    value = json.loads(run(page, "--json").stdout)
    assert (value["text"], value["started"]["page"]["title"]) == ("some words", "A boat")
    assert value["finished"]["finish_reason"] == "stop"


def test_summaries_follow_the_text(served: Served, page: str) -> None:
    served.mesh.read_events[-1].finished.links.add(url="https://e.example/a", text="the log")
    served.mesh.read_events[-1].finished.images.add(url="https://e.example/i.png", alt="A boat")
    assert run(page, "--links-summary").stdout.endswith(
        "some words\n\n## Links\n\n- [the log](https://e.example/a)\n\n## Images\n\n- ![A boat](https://e.example/i.png)\n"
    )


def test_text_that_turned_out_void_is_not_printed(served: Served, page: str) -> None:
    first = reader_pb2.ReadStarted(engine=reader_pb2.READ_ENGINE_MODEL, model="m", reason="it is loaded")
    served.mesh.read_events[:0] = [reader_pb2.ReadResponse(started=first), reader_pb2.ReadResponse(text="nonsense")]
    result = run(page)
    assert result.stdout == "# A boat\n\nsome words\n"
    assert "read by rules (as requested)" in result.stderr


def test_what_a_model_was_asked_for_is_printed_as_it_comes(served: Served, page: str) -> None:
    served.mesh.read_events[0].started.engine = reader_pb2.READ_ENGINE_MODEL
    served.mesh.read_events[0].started.model = "m"
    served.mesh.read_events[-1].finished.finish_reason = common_pb2.FINISH_REASON_LOOP
    served.mesh.read_failure = FailedPrecondition("and then it failed")
    result = run(page, "--engine", "model")
    assert result.stdout == "some words\n"
    assert "read by m (as requested) · loop · fidelity 1.00" in result.stderr
    assert result.stderr.rstrip().endswith("error: and then it failed")
    assert result.exit_code == 1


def test_an_image_is_sent_as_it_is(served: Served, tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"\x89PNG and more")
    served.mesh.read_events[0].started.CopyFrom(
        reader_pb2.ReadStarted(
            engine=reader_pb2.READ_ENGINE_MODEL, model="jina-vlm", reason="only a model reads images"
        )
    )
    served.mesh.read_events[0].started.page.content_type = "image/png"
    served.mesh.read_events[-1].finished.ClearField("fidelity")
    result = run(str(tmp_path / "scan.png"))
    assert (result.exit_code, result.stdout) == (0, "some words\n")
    assert "read by jina-vlm (only a model reads images) · 3 tokens" in result.stderr
    assert served.mesh.reads[0].page.data == b"\x89PNG and more"
    assert json.loads(run(str(tmp_path / "scan.png"), "--json").stdout)["finished"]["fidelity"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("nowhere.html",), 1, "nowhere.html: no such file or directory"),
        (("page", "--format", "pdf"), 2, "Invalid value"),
        ((), 2, "Missing argument"),
    ],
)
def test_mistakes_are_told(served: Served, arguments: tuple[str, ...], code: int, problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert problem in result.stderr
