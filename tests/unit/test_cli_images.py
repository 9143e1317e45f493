"""Images on the command line: collections that take them, indexing, searching, and what is shown of routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from searchmesh.cli.main import app
from searchmesh.cli.sources import MAX_IMAGE_BYTES, Unreadable, documents_of, find_sources
from searchmesh.cli.spaces import parse_filter_fields, parse_multi_vectors, parse_space
from searchmesh.client import Document, Image, MultiVectors, VectorSpace
from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import common_pb2, router_pb2
from support.fake_mesh import Served


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("SEARCHMESH_HOME", str(tmp_path / "home"))
    served = Served()
    for service in ("ROUTER", "EMBEDDING", "RERANKER"):
        monkeypatch.setenv(f"SEARCHMESH_{service}_TARGET", served.target)
    yield served
    served.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.png", "b.JPG", "c.webp", "d.gif", "e.bmp"):
        (folder / name).write_bytes(b"image " + name.encode())
    (folder / "notes.txt").write_text("about boats")
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="searchmesh")


def test_a_collection_is_made_of_spaces_and_token_vectors(served: Served) -> None:
    result = run(
        "collections", "create", "photos", "--space", "text", "--space", "image=jina-clip-v2:512",
        "--multi-vectors", "jina-colbert-v2:96:binary", "--reranker", "jina-colbert-v2", "--language", "german",
        "--filter-field", "year:number",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == ("created photos: text=:0 image=jina-clip-v2:512 tokens=jina-colbert-v2:96:binary\n")
    made = served.mesh.collections["photos"]
    assert [(space.name, space.embedder, space.dimensions) for space in made.spaces] == [
        ("text", "", 0),
        ("image", "jina-clip-v2", 512),
    ]
    assert made.multi_vectors == router_pb2.MultiVectors(
        embedder="jina-colbert-v2", dimensions=96, dtype=common_pb2.DTYPE_BINARY
    )
    assert (made.reranker, made.language) == ("jina-colbert-v2", "german")
    assert {field.name for field in made.filter_fields} == {"path", "year"}
    assert "image=jina-clip-v2:512" in run("collections", "list").stdout
    assert json.loads(run("collections", "create", "plain", "--json").stdout)["multi_vectors"] is None


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("text", VectorSpace("text")),
        ("image=jina-clip-v2", VectorSpace("image", "jina-clip-v2")),
        ("image=jina-clip-v2:64", VectorSpace("image", "jina-clip-v2", 64)),
    ],
)
def test_spaces_are_written_as_name_model_and_size(text: str, space: VectorSpace) -> None:
    assert parse_space(text) == space


@pytest.mark.parametrize("text", ["", "=m", "image=", "image=m:", "image=m:x", "image:64", "image=m:1:2"])
def test_other_spaces_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_space(text)


@pytest.mark.parametrize(
    ("text", "multi"),
    [
        ("m", MultiVectors("m")),
        ("m:96", MultiVectors("m", 96)),
        ("m:binary", MultiVectors("m", 0, "binary")),
        ("m:96:int8", MultiVectors("m", 96, "int8")),
    ],
)
def test_token_vectors_are_written_as_model_size_and_type(text: str, multi: MultiVectors) -> None:
    assert parse_multi_vectors(text) == multi


@pytest.mark.parametrize("text", ["", ":96", "m:", "m:float32", "m:binary:96", "m:1:2"])
def test_other_token_vectors_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_multi_vectors(text)


def test_filter_fields_are_tags_unless_they_say_otherwise() -> None:
    assert parse_filter_fields(["a", "b:number", "c:tag"]) == {"a": "tag", "b": "number", "c": "tag"}


def test_a_folder_of_images_is_indexed_where_there_is_a_space_for_them(served: Served, pictures: Path) -> None:
    run("collections", "create", "photos", "--space", "image=jina-clip-v2")
    result = run("index", str(pictures), "-c", "photos")
    assert result.exit_code == 0
    assert "photos: 5 files, 5 documents in" in result.stderr
    stored = served.mesh.documents["photos"]
    assert set(stored) == {f"pictures/{name}" for name in ("a.png", "b.JPG", "c.webp", "d.gif", "notes.txt#0")}
    assert stored["pictures/b.JPG"].image.data == b"image b.JPG"
    assert stored["pictures/b.JPG"].metadata["path"] == "pictures/b.JPG"
    assert (stored["pictures/b.JPG"].text, stored["pictures/b.JPG"].title) == ("", "")


def test_elsewhere_images_are_left_out_and_that_is_said(served: Served, pictures: Path) -> None:
    result = run("index", str(pictures), "-c", "notes")
    assert result.exit_code == 0
    assert result.stderr.startswith("4 images left out: notes has no vector space for images\nnotes (new): 1 file")
    assert set(served.mesh.documents["notes"]) == {"pictures/notes.txt#0"}
    (pictures / "notes.txt").unlink()
    alone = run("index", str(pictures), "-c", "other")
    assert alone.stderr == "4 images left out: other has no vector space for images\n"
    assert "other" not in served.mesh.collections


def test_lines_of_json_name_images_by_path_or_url(pictures: Path) -> None:
    lines = [
        {"id": "file", "image": "a.png", "text": "words"},
        {"id": "url", "image": "https://example.org/a.png"},
        {"id": "missing", "image": "none.png"},
        {"id": "other", "text": "x", "image": {"width": 5}},
    ]
    path = pictures / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    (source,) = find_sources([path])
    file, url, missing, other = documents_of(source, images=True)
    assert file == {"id": "file", "text": "words", "image": Image(b"image a.png"), "metadata": {}}
    assert url == {"id": "url", "image": "https://example.org/a.png", "metadata": {}}
    assert isinstance(missing, Unreadable)
    assert missing.message == "all.jsonl:3: none.png: No such file or directory"
    assert other == {"id": "other", "text": "x", "metadata": {"image": {"width": 5}}}
    plain = next(iter(documents_of(source)))
    assert plain == {"id": "file", "text": "words", "metadata": {"image": "a.png"}}


def test_an_image_that_no_router_takes_is_not_sent(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    (tmp_path / "fits.png").write_bytes(b"x")
    large, fits = (
        next(iter(documents_of(find_sources([tmp_path / name])[0], images=True))) for name in ("large.png", "fits.png")
    )
    assert isinstance(large, Unreadable)
    assert "large.png: has an image of 8388609 bytes, the limit is 8388608" in large.message
    assert fits == Document("fits.png", metadata={"path": "fits.png"}, image=Image(b"x"))


def test_a_search_by_image_shows_images(served: Served, pictures: Path) -> None:
    run("collections", "create", "photos", "--space", "image=jina-clip-v2")
    run("index", str(pictures / "a.png"), "-c", "photos")
    result = run("search", "--image", str(pictures / "c.webp"), "-c", "photos", "--space", "image")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "  1. a.png",
        "     0.0000  dense.text 0.000  fused 0.000",
        "     image of 11 bytes",
        "",
    ]
    (asked,) = served.mesh.searches
    assert (asked.query.image.data, list(asked.spaces)) == (b"image c.webp", ["image"])
    assert not asked.rerank.HasField("enabled")
    data = json.loads(run("search", "--image", "https://a/b.png", "-c", "photos", "--json").stdout)
    assert served.mesh.searches[1].query.image.url == "https://a/b.png"
    assert data["hits"][0]["document"]["image"] == {"url": "", "bytes": 11}


def test_routes_are_shown_on_demand(served: Served) -> None:
    run("collections", "create", "photos")
    served.mesh.routes = [
        router_pb2.Route(collection="photos", space="image", searched=True, reason="READS", message="clip reads text"),
        router_pb2.Route(collection="photos", space="code", reason="NO_CODE", message="the query has no signs of code"),
    ]
    assert "clip reads text" not in run("search", "boat", "-c", "photos").stdout
    assert [
        line.split(maxsplit=3) for line in run("search", "boat", "-c", "photos", "--explain").stdout.splitlines()
    ] == [
        ["collection", "space", "searched", "why"],
        ["photos", "image", "yes", "clip reads text"],
        ["photos", "code", "no", "the query has no signs of code"],
    ]
    assert json.loads(run("search", "boat", "-c", "photos", "--json").stdout)["routes"][1]["reason"] == "NO_CODE"


@pytest.mark.parametrize("arguments", [(), ("boat", "--image", "https://a/b.png")])
def test_a_search_is_for_words_or_an_image(served: Served, arguments: tuple[str, ...]) -> None:
    result = run("search", *arguments, "-c", "photos")
    assert (result.exit_code, result.stderr) == (2, "error: QUERY: give either a query or --image\n")


def test_an_image_that_is_not_there_is_one_line(served: Served, tmp_path: Path) -> None:
    result = run("search", "--image", str(tmp_path / "none.png"), "-c", "photos")
    assert (result.exit_code, result.stderr) == (1, f"error: {tmp_path / 'none.png'}: no such file or directory\n")
