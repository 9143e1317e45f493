"""Splitting text and Markdown into passages, and files into documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from searchmesh.cli.passages import LIMIT, markdown_passages, text_passages
from searchmesh.cli.sources import Unreadable, documents_of, find_sources
from searchmesh.client import Document
from searchmesh.runtime.errors import InvalidArgument

SENTENCE = "The quick brown fox jumps over the lazy dog. "


def test_short_paragraphs_are_joined() -> None:
    (passage,) = text_passages("one\ntwo\n\n\nthree\n")
    assert passage.text == "one\ntwo\n\nthree"
    assert passage.headings == ()


def test_passages_are_about_as_long_as_the_limit_and_lose_no_word() -> None:
    text = "\n\n".join(SENTENCE * (1 + number % 7) for number in range(60))
    passages = [passage.text for passage in text_passages(text)]
    assert " ".join(passages).split() == text.split()
    assert all(len(passage) <= LIMIT + 202 for passage in passages)
    assert all(len(passage) > LIMIT / 2 for passage in passages)


def test_a_long_paragraph_is_cut_at_sentences() -> None:
    passages = [passage.text for passage in text_passages(SENTENCE * 100)]
    assert len(passages) > 3
    assert all(passage.startswith("The") and passage.endswith("dog.") for passage in passages)


@pytest.mark.parametrize("text", ["x" * 5000, "漢字" * 2500, "文です。" * 1000, "word " * 1000])
def test_text_without_sentences_is_cut_all_the_same(text: str) -> None:
    passages = [passage.text for passage in text_passages(text)]
    assert all(len(passage) <= LIMIT + 202 for passage in passages)
    assert "".join("".join(passages).split()) == "".join(text.split())


def test_a_small_rest_stays_with_the_piece_before() -> None:
    passages = [passage.text for passage in text_passages("a" * 900 + "\n\n" + "b" * 150)]
    assert passages == ["a" * 900 + "\n\n" + "b" * 150]


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_nothing_gives_no_passage(text: str) -> None:
    assert list(text_passages(text)) == []
    assert list(markdown_passages(text)) == []


MARKDOWN = """\
---
title: front matter
---
before any heading

# Guide

intro

## Install #

install text

```sh
# not a heading

more code
```

Linux
-----

linux text

## Use

---

a | table
- | -

# Other
other text
"""


def test_markdown_is_split_at_headings_and_remembers_their_path() -> None:
    passages = list(markdown_passages(MARKDOWN))
    assert [(passage.headings, passage.text.split("\n")[0]) for passage in passages] == [
        ((), "before any heading"),
        (("Guide",), "intro"),
        (("Guide", "Install"), "install text"),
        (("Guide", "Linux"), "linux text"),
        (("Guide", "Use"), "---"),
        (("Other",), "other text"),
    ]
    assert "# not a heading\n\nmore code" in passages[2].text


def test_sections_without_text_give_no_passage() -> None:
    assert [passage.headings for passage in markdown_passages("# A\n\n## B\n\ntext\n\n# C\n")] == [("A", "B")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "sub").mkdir(parents=True)
    (root / "b.md").write_text("# Title\n\ntext\n")
    (root / "sub" / "a.txt").write_text("plain")
    (root / "skipped.bin").write_bytes(b"\x89PNG")
    (root / ".hidden.md").write_text("hidden")
    return root


def test_folders_give_their_readable_files_with_stable_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [source.name for source in find_sources([folder])]
    assert names == ["docs/b.md", "docs/sub/a.txt"]
    monkeypatch.chdir(folder / "sub")
    assert [source.name for source in find_sources([Path("..")])] == names
    assert [source.name for source in find_sources([Path("../skipped.bin")])] == ["skipped.bin"]


def test_the_same_file_twice_is_one_and_two_files_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    assert len(find_sources([folder, folder])) == 2
    other = tmp_path / "other" / "docs"
    other.mkdir(parents=True)
    (other / "b.md").write_text("x")
    with pytest.raises(InvalidArgument, match=r"docs/b\.md"):
        find_sources([folder, other])
    with pytest.raises(InvalidArgument, match="does not exist"):
        find_sources([tmp_path / "missing"])


def _documents(path: Path) -> list[Document | Mapping[str, Any] | Unreadable]:
    return [document for source in find_sources([path]) for document in documents_of(source)]


def test_passages_have_ids_titles_and_where_they_are_from(folder: Path) -> None:
    assert _documents(folder) == [
        Document("docs/b.md#0", "text", "docs/b.md › Title", {"path": "docs/b.md"}),
        Document("docs/sub/a.txt#0", "plain", "docs/sub/a.txt", {"path": "docs/sub/a.txt"}),
    ]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"text \x00 more"])
def test_what_is_not_text_is_said_to_be_unreadable(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.txt").write_bytes(content)
    (unreadable,) = _documents(tmp_path / "broken.txt")
    assert isinstance(unreadable, Unreadable)
    assert unreadable.message.startswith("broken.txt: is not")


def test_lines_of_json_are_documents_and_broken_ones_are_named(tmp_path: Path) -> None:
    lines: list[object] = [
        {"id": "1", "title": "t", "text": "x", "metadata": {"year": 2000}},
        {"text": "no id", "lang": "en"},
        [1],
        {"id": 7, "text": "x"},
        {"id": "2", "text": "x", "metadata": "none"},
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n\n{"id": "3", "text": "\\ud800"}\nnot json\n')
    documents = _documents(path)
    assert documents[:2] == [
        {"id": "1", "title": "t", "text": "x", "metadata": {"year": 2000}},
        {"id": "corpus.jsonl#1", "text": "no id", "metadata": {"lang": "en"}},
    ]
    messages = [document.message for document in documents[2:] if isinstance(document, Unreadable)]
    assert [message.partition(": ")[0] for message in messages] == [f"corpus.jsonl:{line}" for line in (3, 4, 5, 7, 8)]
    assert "Unicode" in messages[3]
