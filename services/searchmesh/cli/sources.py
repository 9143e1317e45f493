"""Files and folders to documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from searchmesh.cli.passages import Passage, markdown_passages, text_passages

if TYPE_CHECKING:
    from searchmesh.client import Document, Image

MARKDOWN = frozenset({".md", ".markdown"})
TEXT = frozenset({".txt", ".text", ".rst"})
JSONL = frozenset({".jsonl", ".ndjson"})
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})

MAX_IMAGE_BYTES = 8 * 1024 * 1024
"""The most that any router takes, and below the size of a message: what is larger is not even sent."""


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
        """Whether it becomes passages; each line of a JSONL file is a document of its own, and so is an image."""
        return self._kind not in JSONL | IMAGES

    @property
    def is_image(self) -> bool:
        """Whether it is an image, going by its name."""
        return self._kind in IMAGES

    @property
    def is_markdown(self) -> bool:
        """Whether it has headings, going by its name."""
        return self._kind in MARKDOWN

    @property
    def _kind(self) -> str:
        return self.path.suffix.lower()


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
        elif path.is_file() and path.suffix.lower() in MARKDOWN | TEXT | JSONL | IMAGES:
            yield path


def documents_of(source: Source, *, images: bool = False) -> Iterator[Document | Mapping[str, Any] | Unreadable]:
    """The documents of a file: each line of JSONL, an image, the passages of everything else.

    With `images` the field ``image`` of a JSONL line is the URL of one, or its path beside the file. What cannot be
    read comes as an `Unreadable` in its place.
    """
    if source.is_image:
        yield _image_document(source)
        return
    if not source.is_split:
        yield from _json_lines(source, images)
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
    split = markdown_passages if source.is_markdown else text_passages
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


def _image_document(source: Source) -> Document | Unreadable:
    from searchmesh.client import Document

    image = _image(source.name, source.path)
    if isinstance(image, Unreadable):
        return image
    return Document(source.name, metadata={"path": source.name}, image=image)


def _image(where: str, path: Path) -> Image | Unreadable:
    from searchmesh.client import Image

    try:
        if (size := path.stat().st_size) > MAX_IMAGE_BYTES:
            return Unreadable(f"{where}: has an image of {size} bytes, the limit is {MAX_IMAGE_BYTES}")
        return Image.from_file(path)
    except OSError as error:
        return Unreadable(f"{where}: {path.name}: {error.strerror}")


def _json_lines(source: Source, images: bool) -> Iterator[Mapping[str, Any] | Unreadable]:
    try:
        with source.path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file):
                if line.strip():
                    yield _json_document(source, number, line, images)
    except UnicodeDecodeError:
        yield Unreadable(f"{source.name}: is not UTF-8 text")
    except OSError as error:
        yield Unreadable(f"{source.name}: {error.strerror}")


def _json_document(source: Source, number: int, line: str, images: bool) -> Mapping[str, Any] | Unreadable:
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
    if images and isinstance(values.get("image"), str):
        named = values.pop("image")
        image = named if "://" in named else _image(where, source.path.parent / named)
        if isinstance(image, Unreadable):
            return image
        document["image"] = image
    # Fields of its own that a data set has are as good as metadata.
    document["metadata"] = values | metadata
    try:
        document_proto(number, document)
    except InvalidArgument as invalid:
        return Unreadable(f"{where}: {invalid.problem}")
    return document
