"""Docstrings of modules written in Python, read from their source: nothing is imported, so nothing can happen."""

from __future__ import annotations

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from searchmesh_bench.pydocs.entry import Entry, Kind

_SKIPPED = {
    "test", "tests", "idlelib", "turtledemo", "lib2to3",  # tests and programs, not a library
    "antigravity", "this",
    "ntpath",  # os.path of another system
}  # fmt: skip

_KNOWN_AS = {"posixpath": "os.path", "genericpath": "os.path", "_collections_abc": "collections.abc"}
"""Modules that users know by another name."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def from_sources() -> Iterator[Entry]:
    """Entries of every public module of the standard library that has source, in order of module names."""
    root = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names):
        if _public(name) or name in _KNOWN_AS:
            if (file := root / f"{name}.py").is_file():
                yield from read_module(name, file)
            elif (folder := root / name).is_dir():
                yield from _package(name, folder)


def _package(name: str, folder: Path) -> Iterator[Entry]:
    init = folder / "__init__.py"
    if not init.is_file():
        return
    yield from read_module(name, init)
    exported = _exported(name, _parse(init))
    for path in sorted(folder.iterdir()):
        if _public(path.stem):
            if path.suffix == ".py":
                yield from read_module(f"{name}.{path.stem}", path)
            elif path.is_dir():
                yield from _package(f"{name}.{path.name}", path)
        elif path.suffix == ".py" and path.stem in exported:
            yield from _hidden(name, path, exported[path.stem])


def read_module(name: str, file: Path) -> Iterator[Entry]:
    """Entries of one source file: the module, its functions, its classes and their methods."""
    tree = _parse(file)
    name = _KNOWN_AS.get(name, name)
    if doc := ast.get_docstring(tree):
        yield Entry(name, name, "module", "", doc)
    yield from _definitions(tree.body, name, name, "function")


def _hidden(package: str, file: Path, names: set[str]) -> Iterator[Entry]:
    """Entries of a package's private module under the names by which the package exports them."""
    for entry in _definitions(_parse(file).body, package, package, "function"):
        if "*" in names or entry.name.removeprefix(f"{package}.").partition(".")[0] in names:
            yield entry


def _exported(package: str, init: ast.Module) -> dict[str, set[str]]:
    """Names that ``__init__`` imports from each module of the package, ``*`` for all."""
    found: dict[str, set[str]] = {}
    for node in init.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = node.module if node.level else node.module.removeprefix(f"{package}.")
            found.setdefault(module, set()).update(alias.name for alias in node.names if alias.asname is None)
    return found


def _parse(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in old sources
        return ast.parse(file.read_bytes())


def _definitions(body: list[ast.stmt], owner: str, module: str, kind: Kind) -> Iterator[Entry]:
    for node in body:
        match node:
            case ast.ClassDef() if _public(node.name):
                yield from _class(node, f"{owner}.{node.name}", module)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _public(node.name) and not _accessor(node):
                if doc := ast.get_docstring(node):
                    is_property = kind == "method" and _is_property(node)
                    yield Entry(
                        f"{owner}.{node.name}",
                        module,
                        "property" if is_property else kind,
                        "" if is_property else _signature(node, bound=kind == "method"),
                        doc,
                    )
            case ast.If() | ast.Try() | ast.With():  # definitions that depend on the platform or an accelerator
                for branch in ("body", "orelse", "finalbody"):
                    yield from _definitions(getattr(node, branch, []), owner, module, kind)
                for handler in getattr(node, "handlers", []):
                    yield from _definitions(handler.body, owner, module, kind)


def _class(node: ast.ClassDef, name: str, module: str) -> Iterator[Entry]:
    """The class with what its constructor says, then its methods."""
    init = next((item for item in node.body if isinstance(item, _Function) and item.name == "__init__"), None)
    docs = [ast.get_docstring(node), ast.get_docstring(init) if init else None]
    if text := "\n\n".join(doc for doc in docs if doc):
        yield Entry(name, module, "class", _signature(init, bound=True) if init else "", text)
    yield from _definitions(node.body, name, module, "method")


def _signature(node: _Function, *, bound: bool) -> str:
    """The parameters without annotations; a method's without its first, as it is called."""
    arguments = node.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            argument.annotation = None
    static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
    if bound and not static:
        positional = arguments.posonlyargs or arguments.args
        del positional[:1]
    return f"({ast.unparse(arguments)})"


def _is_property(node: _Function) -> bool:
    names = {ast.unparse(mark) for mark in node.decorator_list}
    return any(name.endswith("property") for name in names)


def _accessor(node: _Function) -> bool:
    """Whether it sets or deletes a property that has an entry already."""
    return any(isinstance(mark, ast.Attribute) and mark.attr in ("setter", "deleter") for mark in node.decorator_list)


def _public(name: str) -> bool:
    return not name.startswith("_") and name not in _SKIPPED
