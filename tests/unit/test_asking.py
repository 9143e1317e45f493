"""Questions about images through the client and ``searchmesh ask``: what is sent, and what comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from searchmesh.cli.main import app
from searchmesh.client import AnswerFinished, AskOptions, AsyncClient, Client, Image, Message
from searchmesh.runtime.errors import Internal, InvalidArgument
from searchmesh.v1 import common_pb2, vlm_pb2
from support.fake_mesh import FakeMesh, Served, running


@pytest.fixture
async def mesh() -> FakeMesh:
    return FakeMesh()


@pytest.fixture
async def client(mesh: FakeMesh) -> AsyncIterator[AsyncClient]:
    async with running(mesh) as target, AsyncClient(vlm=target, timeout_s=5) as client:
        yield client


async def test_a_question_goes_behind_its_images(mesh: FakeMesh, client: AsyncClient) -> None:
    answer = await client.ask("what?", [Image(b"x"), Image(url="https://e.example/a.png")])
    assert (answer.text, answer.finished.finish_reason, answer.finished.image_tokens) == ("a boat", "stop", 424)
    images = [common_pb2.Image(data=b"x"), common_pb2.Image(url="https://e.example/a.png")]
    content = [*(common_pb2.Content(image=image) for image in images), common_pb2.Content(text="what?")]
    assert list(mesh.questions[0].messages) == [vlm_pb2.ChatMessage(role=vlm_pb2.CHAT_ROLE_USER, content=content)]


async def test_all_that_is_asked_of_the_decoding_arrives(mesh: FakeMesh, client: AsyncClient) -> None:
    options = AskOptions(
        model="m", preset="caption", max_tokens=7, stop=["a", "b"], json_schema={"type": "array"},
        temperature=0.5, top_p=0.25, top_k=3, repetition_penalty=2, seed=0,
    )  # fmt: skip
    await client.ask([Message(Image(b"x")), Message("y", "assistant"), Message(["z"])], options=options)
    (sent,) = mesh.questions
    assert [message.role for message in sent.messages] == [2, 3, 2]
    assert (sent.model, sent.preset, sent.max_tokens, list(sent.stop)) == ("m", "caption", 7, ["a", "b"])
    assert json.loads(sent.json_schema) == {"type": "array"}
    assert sent.decoding == vlm_pb2.DecodingOptions(temperature=0.5, top_p=0.25, top_k=3, repetition_penalty=2, seed=0)
    assert sent.decoding.HasField("seed")


async def test_an_answer_without_an_end_is_an_error(mesh: FakeMesh, client: AsyncClient) -> None:
    mesh.answer_events.pop()
    with pytest.raises(Internal, match="before it was done"):
        await client.ask("a")


async def test_a_role_that_there_is_not(client: AsyncClient) -> None:
    with pytest.raises(InvalidArgument, match="must be one of system, user, assistant"):
        await client.ask([Message("a", "tool")])  # type: ignore[arg-type]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path / "home"))
    served = Served()
    monkeypatch.setenv("SEARCHMESH_VLM_TARGET", served.target)
    yield served
    served.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["ask", *arguments], prog_name="searchmesh")


def test_the_blocking_client_streams(served: Served) -> None:
    with Client(vlm=served.target) as client:
        first, second, end = client.ask_stream("a")
    assert (first, second) == ("a ", "boat")
    assert isinstance(end, AnswerFinished)


def test_the_command_sends_files_and_urls_and_prints_the_answer(served: Served, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    result = run(
        "--image", str(tmp_path / "a.png"), "--image", "https://e.example/b.png", "what?", "--system", "Be brief."
    )
    assert (result.exit_code, result.stdout) == (0, "a boat\n")
    assert "read 430 tokens, 424 of them for images · wrote 2 tokens · ms: infer 1.5" in result.stderr
    system, asked = served.mesh.questions[0].messages
    assert (system.role, system.content[0].text) == (vlm_pb2.CHAT_ROLE_SYSTEM, "Be brief.")
    assert [content.WhichOneof("content") for content in asked.content] == ["image", "image", "text"]
    assert asked.content[1].image.url == "https://e.example/b.png"


def test_the_command_for_programs(served: Served) -> None:
    result = run("--preset", "caption", "--image", "https://e.example/b.png", "--json", "--seed", "3")
    printed = json.loads(result.stdout)
    assert (printed["text"], printed["finished"]["output_tokens"]) == ("a boat", 2)
    assert (served.mesh.questions[0].preset, served.mesh.questions[0].decoding.seed) == ("caption", 3)


def test_the_command_wants_a_question_or_a_preset(served: Served) -> None:
    for arguments in ((), ("what?", "--preset", "caption")):
        result = run(*arguments)
        assert result.exit_code != 0
        assert "give either a question or --preset" in result.stderr
    assert not served.mesh.questions
