"""Judged collections: a folder with corpus.jsonl, queries.jsonl and qrels.tsv."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from searchmesh.client import Document
from searchmesh.runtime.errors import InvalidArgument, NotFound

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels.tsv"


@dataclass(frozen=True)
class Query:
    """A query and the grade of each judged document."""

    id: str
    text: str
    grades: Mapping[str, int]


@dataclass(frozen=True)
class Dataset:
    """Documents in the order of the file, and the queries that have a relevant document among them."""

    name: str
    documents: list[Document]
    queries: list[Query]


def load(folder: Path) -> Dataset:
    """Read a judged collection.

    corpus.jsonl has objects with `id`, `text` and perhaps `title`; queries.jsonl `id` and `text`; qrels.tsv a header
    and the columns query id, document id, grade (an integer). Documents with neither title nor text are left out:
    there is nothing to find in them.

    Raises NotFound if a file is missing, InvalidArgument that names file and line if one cannot be read, and
    InvalidArgument if no query has a relevant document.
    """
    documents: dict[str, Document] = {}
    for where, record in _objects(folder / CORPUS):
        document = Document(
            id=_string(record, "id", where),
            title=_string(record, "title", where, default=""),
            text=_string(record, "text", where),
        )
        if document.id in documents:
            raise InvalidArgument(where, f"id {document.id!r} was there before")
        if document.title.strip() or document.text.strip():
            documents[document.id] = document
    grades = _grades(folder / QRELS)
    queries = []
    for where, record in _objects(folder / QUERIES):
        query = Query(name := _string(record, "id", where), _string(record, "text", where), grades.pop(name, {}))
        if any(grade > 0 and judged in documents for judged, grade in query.grades.items()):
            queries.append(query)
    if not queries:
        raise InvalidArgument(str(folder / QRELS), f"no query of {QUERIES} has a relevant document in {CORPUS}")
    return Dataset(folder.resolve().name, list(documents.values()), queries)


def _grades(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    lines = _lines(path)
    next(lines, None)
    for where, line in lines:
        try:
            query, document, grade = line.split("\t")
            grades.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise InvalidArgument(where, "is not `query-id, corpus-id, integer score` separated by tabs") from None
    return grades


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in _lines(path):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise InvalidArgument(where, f"is not JSON: {error}") from None
        if not isinstance(record, dict):
            raise InvalidArgument(where, "is not a JSON object")
        yield where, record


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each line that is not blank, with its place as ``file:line``."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidArgument(str(path), f"is not UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise NotFound(f"{path}: {error.strerror}") from None


def _string(record: dict[str, Any], field: str, where: str, default: str | None = None) -> str:
    value = record.get(field, default)
    if not isinstance(value, str):
        raise InvalidArgument(where, f"`{field}` is missing or not a string")
    return value
