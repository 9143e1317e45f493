"""Reading judged collections, and the messages for those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from searchmesh.runtime.errors import InvalidArgument, NotFound
from searchmesh_bench.datasets import load

CORPUS = [
    {"id": "a", "title": "Title", "text": "Text of a"},
    {"id": "b", "text": "Text of b"},
    {"id": "empty", "title": " ", "text": ""},
]
QUERIES = [{"id": "q1", "text": "one"}, {"id": "q2", "text": "two"}, {"id": "q3", "text": "three"}]
QRELS = ["q1\ta\t3", "q1\tb\t0", "q2\tb\t0", "q3\tempty\t1"]


def write(folder: Path, corpus: list[dict[str, object]] = CORPUS, qrels: list[str] = QRELS) -> Path:  # type: ignore[assignment]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(record) + "\n" for record in corpus))
    (folder / "queries.jsonl").write_text("\n\n".join(json.dumps(record) for record in QUERIES))
    (folder / "qrels.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n")
    return folder


def test_documents_and_queries_that_can_be_judged_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    dataset = load(write(folder))
    assert dataset.name == "toy"
    assert [(document.id, document.title, document.text) for document in dataset.documents] == [
        ("a", "Title", "Text of a"),
        ("b", "", "Text of b"),
    ]
    # q2 has no relevant document, that of q3 is empty
    assert [(query.id, query.text, query.grades) for query in dataset.queries] == [("q1", "one", {"a": 3, "b": 0})]


@pytest.mark.parametrize(
    ("corpus", "qrels", "said"),
    [
        ([*CORPUS, {"id": "a", "text": "again"}], QRELS, r"corpus\.jsonl:4: id 'a' was there before"),
        ([{"id": "a"}], QRELS, r"corpus\.jsonl:1: `text` is missing"),
        ([{"id": 7, "text": "seven"}], QRELS, r"corpus\.jsonl:1: `id` is missing or not a string"),
        (CORPUS, ["q1 a 3"], r"qrels\.tsv:2: is not"),
        (CORPUS, ["q1\ta\t1", "q1\tb\thigh"], r"qrels\.tsv:3: is not"),
        (CORPUS, ["q1\ta\t0"], r"qrels\.tsv: no query of queries\.jsonl has a relevant document"),
    ],
)
def test_what_cannot_be_read_is_named_with_file_and_line(
    tmp_path: Path, corpus: list[dict[str, object]], qrels: list[str], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        load(write(tmp_path, corpus, qrels))


def test_lines_that_are_not_json_objects_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "queries.jsonl").write_text('{"id": "q1", "text": "one"}\n{"id": ')
    with pytest.raises(InvalidArgument, match=r"queries\.jsonl:2: is not JSON"):
        load(tmp_path)
    (tmp_path / "queries.jsonl").write_text("[1, 2]")
    with pytest.raises(InvalidArgument, match=r"queries\.jsonl:1: is not a JSON object"):
        load(tmp_path)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "corpus.jsonl").write_bytes('{"id": "a", "text": "é"}'.encode("latin-1"))
    with pytest.raises(InvalidArgument, match=r"corpus\.jsonl: is not UTF-8"):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "qrels.tsv").unlink()
    with pytest.raises(NotFound, match=r"qrels\.tsv"):
        load(tmp_path)
