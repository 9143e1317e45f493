"""The standard library's documentation as a corpus."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from searchmesh.client import Document
from searchmesh_bench.pydocs import corpus
from searchmesh_bench.pydocs.entry import TITLE_CHARACTERS, Entry
from searchmesh_bench.pydocs.sources import read_module

SOURCE = '''
"""About the module."""
import sys


def greet(name, /, *, loud=False, **more: int) -> str:
    """Say hello."""


def undocumented(): ...


def _private():
    """Hidden."""


class Shop:
    """Sells things."""

    def __init__(self, name, stock=()):
        """Opens with `stock`."""

    def sell(self, thing, price=1):
        """Sell one."""
        def inner():
            """Not public: nobody can call it."""

    async def deliver(self):
        """Bring it."""

    @property
    def size(self):
        """How much there is."""

    @size.setter
    def size(self, value):
        """Not an entry of its own."""

    @staticmethod
    def opens(day):
        """When it opens."""

    class Counter:
        """Where one pays."""

    def __len__(self):
        """Hidden too."""


if sys.platform == "win32":
    def there():
        """On Windows."""
else:
    def here():
        """Elsewhere."""

try:
    import _fast
except ImportError:
    def slow():
        """Without the accelerator."""
'''


@pytest.fixture(scope="module")
def documents() -> dict[str, Document]:
    made = corpus()
    by_id = {document.id: document for document in made}
    assert len(by_id) == len(made)
    return by_id


def test_every_public_docstring_of_a_source_file_becomes_an_entry(tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(SOURCE)
    assert [(entry.name, entry.kind, entry.signature, entry.text) for entry in read_module("sample", file)] == [
        ("sample", "module", "", "About the module."),
        ("sample.greet", "function", "(name, /, *, loud=False, **more)", "Say hello."),
        ("sample.Shop", "class", "(name, stock=())", "Sells things.\n\nOpens with `stock`."),
        ("sample.Shop.sell", "method", "(thing, price=1)", "Sell one."),
        ("sample.Shop.deliver", "method", "()", "Bring it."),
        ("sample.Shop.size", "property", "", "How much there is."),
        ("sample.Shop.opens", "method", "(day)", "When it opens."),
        ("sample.Shop.Counter", "class", "", "Where one pays."),
        ("sample.there", "function", "()", "On Windows."),
        ("sample.here", "function", "()", "Elsewhere."),
        ("sample.slow", "function", "()", "Without the accelerator."),
    ]


def test_the_corpus_has_thousands_of_passages_of_text(documents: dict[str, Document]) -> None:
    assert len(documents) > 5000
    assert all(document.text.strip() and document.title for document in documents.values())


@pytest.mark.parametrize(
    ("name", "title", "kind", "word"),
    [
        ("zipfile.ZipFile.extract", "zipfile.ZipFile.extract(member, path=None, pwd=None)", "method", "archive"),
        ("os.path.join", "os.path.join(a, *p)", "function", "pathname"),
        ("os.remove", "os.remove(path, *, dir_fd=None)", "function", "Remove"),
        ("str.split", "str.split(sep=None, maxsplit=-1)", "method", "substrings"),
        ("math.sqrt", "math.sqrt(x, /)", "function", "square root"),
        ("collections.abc.Mapping", "collections.abc.Mapping", "class", "key/value"),
        ("concurrent.futures.Future", "concurrent.futures.Future()", "class", "asynchronous"),
        ("socket.socket.connect", None, "method", "address"),
        ("textwrap", "textwrap", "module", "wrapping"),
    ],
)
def test_names_are_those_that_users_write(
    documents: dict[str, Document], name: str, title: str | None, kind: str, word: str
) -> None:
    document = documents[name]
    assert title is None or document.title == title
    assert document.metadata["kind"] == kind
    assert word in document.text


def test_private_names_tests_and_games_are_left_out(documents: dict[str, Document]) -> None:
    parts = {part for name in documents for part in name.partition("#")[0].split(".")}
    assert not [part for part in parts if part.startswith("_")]
    assert not parts & {"test", "idlelib", "turtledemo", "antigravity", "this"}


def test_names_that_a_module_only_imports_are_not_its_own(documents: dict[str, Document]) -> None:
    assert "io.StringIO.read" in documents
    assert "csv.StringIO.read" not in documents


def test_the_corpus_is_the_same_each_time(documents: dict[str, Document]) -> None:
    assert corpus() == list(documents.values())


def test_reading_it_imports_no_module_that_does_things(documents: dict[str, Document]) -> None:
    assert not {"antigravity", "this", "turtle", "tkinter", "webbrowser"} & set(sys.modules)


def test_long_docstrings_become_numbered_passages(documents: dict[str, Document]) -> None:
    parts = [document for name, document in documents.items() if name.partition("#")[0] == "argparse"]
    assert [part.id for part in parts] == ["argparse", *(f"argparse#{number + 1}" for number in range(1, len(parts)))]
    assert len(parts) > 1
    assert {part.title for part in parts} == {"argparse"}


def test_long_signatures_are_cut_between_parameters() -> None:
    signature = f"({', '.join(f'parameter{number}=None' for number in range(30))})"
    title = Entry("module.function", "module", "function", signature, "text").title
    assert len(title) <= TITLE_CHARACTERS
    assert title.startswith("module.function(parameter0=None, ")
    assert title.endswith("=None, …)")
