"""Files and folders to documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from searchmesh.cli.passages import Passage, markdown_passages, text_passages

if TYPE_CHECKING:
    from searchmesh.client import Document

MARKDOWN = frozenset({".md", ".markdown"})
TEXT = frozenset({".txt", ".text", ".rst"})
JSONL = frozenset({".jsonl", ".ndjson"})


@dataclass(frozen=True)
class Source:
    """A file that is indexed."""

    path: Path
    name: str
    """Relative to the folder above the path that was given: stable wherever the command is run."""
    size: int
    """Bytes."""

    @property
    def is_split(self) -> bool:
        """Whether it becomes passages; each line of any other file is a document of its own."""
        return self.path.suffix.lower() not in JSONL


@dataclass(frozen=True)
class Unreadable:
    """A file, or a line of one, that is no document."""

    message: str
    """Names it."""


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """The files, and those of known kinds in the folders and below; hidden ones are left out.

    Raises InvalidArgument for a path that does not exist and for two files that would get the same name.
    """
    from searchmesh.runtime.errors import InvalidArgument

    found: dict[str, Source] = {}
    for given in paths:
        if not given.exists():
            raise InvalidArgument("PATH", f"{given} does not exist")
        above = given.resolve().parent
        for path in [given.resolve()] if given.is_file() else _below(given.resolve()):
            source = Source(path, path.relative_to(above).as_posix(), path.stat().st_size)
            other = found.setdefault(source.name, source)
            if other.path != path:
                raise InvalidArgument(
                    "PATH", f"{other.path} and {path} would both be called {source.name}; index them separately"
                )
    return list(found.values())


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.is_file() and path.suffix.lower() in MARKDOWN | TEXT | JSONL:
            yield path


def documents_of(source: Source) -> Iterator[Document | Mapping[str, Any] | Unreadable]:
    """The documents of a file: each line of JSONL, the passages of everything else.

    What cannot be read comes as an `Unreadable` in its place.
    """
    if not source.is_split:
        yield from _json_lines(source)
        return
    try:
        text = source.path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        yield Unreadable(f"{source.name}: is not UTF-8 text")
        return
    except OSError as error:
        yield Unreadable(f"{source.name}: {error.strerror}")
        return
    if "\0" in text:
        yield Unreadable(f"{source.name}: is not text")
        return
    split = markdown_passages if source.path.suffix.lower() in MARKDOWN else text_passages
    for number, passage in enumerate(split(text)):
        yield _passage_document(source, number, passage)


def _passage_document(source: Source, number: int, passage: Passage) -> Document:
    from searchmesh.client import Document

    return Document(
        id=f"{source.name}#{number}",
        title=" › ".join((source.name, *passage.headings)),
        text=passage.text,
        metadata={"path": source.name},
    )


def _json_lines(source: Source) -> Iterator[Mapping[str, Any] | Unreadable]:
    try:
        with source.path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file):
                if line.strip():
                    yield _json_document(source, number, line)
    except UnicodeDecodeError:
        yield Unreadable(f"{source.name}: is not UTF-8 text")
    except OSError as error:
        yield Unreadable(f"{source.name}: {error.strerror}")


def _json_document(source: Source, number: int, line: str) -> Mapping[str, Any] | Unreadable:
    from searchmesh.client.documents import document_proto
    from searchmesh.runtime.errors import InvalidArgument

    where = f"{source.name}:{number + 1}"
    try:
        values = json.loads(line)
    except ValueError as problem:
        return Unreadable(f"{where}: is not JSON: {problem}")
    if not isinstance(values, dict):
        return Unreadable(f"{where}: is not an object")
    metadata = values.pop("metadata", None) or {}
    if not isinstance(metadata, dict):
        return Unreadable(f"{where}: metadata must be an object")
    document = {name: values.pop(name) for name in ("id", "title", "text") if name in values}
    document.setdefault("id", f"{source.name}#{number}")
    # Fields of its own that a data set has are as good as metadata.
    document["metadata"] = values | metadata
    try:
        document_proto(number, document)
    except InvalidArgument as invalid:
        return Unreadable(f"{where}: {invalid.problem}")
    return document
