"""Which vector spaces of a collection a query goes to, and why: by what their models read, and by what the query is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from searchmesh.router.code_signs import code_signs
from searchmesh.router.index import Collection, Space, SpaceName
from searchmesh.router.language import other_language
from searchmesh.router.query import LEXICAL, Mode, Route, RouteReason, SearchQuery
from searchmesh.runtime.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class _Decision:
    searched: bool
    reason: RouteReason
    message: str


def route(query: SearchQuery, collection: Collection) -> list[Route]:
    """One route for each vector space, in the order of the definition, and one for the lexical index."""
    decisions = {space.name: _decide(query, space) for space in collection.spaces}
    if not query.spaces and SpaceName.CODE in decisions and decisions[SpaceName.CODE].searched:
        others = any(decision.searched for name, decision in decisions.items() if name != SpaceName.CODE)
        decisions[SpaceName.CODE] = _code(query, alone=not others)
    decisions[LEXICAL] = _lexical(query, collection)
    return [
        Route(collection.name, space, decision.searched, decision.reason, decision.message)
        for space, decision in decisions.items()
    ]


def check_spaces(query: SearchQuery, collections: Sequence[Collection]) -> None:
    """Raise InvalidArgument for a space that no collection has, or that no model can search for this query."""
    for number, name in enumerate(query.spaces):
        named = [space for collection in collections for space in collection.spaces if space.name == name]
        if not named:
            known = sorted({space.name for collection in collections for space in collection.spaces})
            raise InvalidArgument(
                f"spaces[{number}]", f"{name!r} is not a vector space here; there are: {', '.join(known) or 'none'}"
            )
        if not any(query.modality in space.modalities for space in named):
            raise InvalidArgument(f"spaces[{number}]", f"cannot be searched: {_unreadable(query, named[0])}")


def _decide(query: SearchQuery, space: Space) -> _Decision:
    if query.mode is Mode.LEXICAL:
        return _Decision(False, RouteReason.MODE, "the mode is lexical")
    if query.spaces and space.name not in query.spaces:
        return _Decision(False, RouteReason.NOT_NAMED, f"the search names {', '.join(query.spaces)}")
    if query.modality not in space.modalities:
        return _Decision(False, RouteReason.CANNOT_READ_THE_QUERY, _unreadable(query, space))
    if query.spaces:
        return _Decision(True, RouteReason.NAMED, "named by the search")
    return _Decision(True, RouteReason.READS_THE_QUERY, f"{space.embedder} reads {_kind(query)}")


def _code(query: SearchQuery, *, alone: bool) -> _Decision:
    """Of a code space that could be searched. In doubt it is."""
    text = query.content
    if not isinstance(text, str):
        return _Decision(True, RouteReason.CODE_UNCERTAIN, "the image may show code")
    if signs := code_signs(text):
        return _Decision(True, RouteReason.CODE_IN_QUERY, f"the query has {signs}")
    if alone:
        return _Decision(
            True, RouteReason.NO_OTHER_SPACE, "the query has no signs of code, but no other space suits it"
        )
    if language := other_language(text, "english"):
        return _Decision(
            True,
            RouteReason.CODE_UNCERTAIN,
            f"only English words tell whether a query is about code; this is {language}",
        )
    return _Decision(False, RouteReason.NO_CODE_IN_QUERY, "the query has no signs of code")


def _lexical(query: SearchQuery, collection: Collection) -> _Decision:
    if query.mode is Mode.DENSE:
        return _Decision(False, RouteReason.MODE, "the mode is dense")
    if not isinstance(query.content, str):
        return _Decision(False, RouteReason.CANNOT_READ_THE_QUERY, "an image has no words to look up")
    if language := other_language(query.content, collection.language):
        weight = "" if query.fusion.dense_weight is not None else "; their ranking counts half"
        message = f"names and numbers may be found: the query is in {language}, the collection in {collection.language}"
        return _Decision(True, RouteReason.OTHER_LANGUAGE, message + weight)
    return _Decision(True, RouteReason.READS_THE_QUERY, "its words are looked up")


def _unreadable(query: SearchQuery, space: Space) -> str:
    return f"{space.embedder} does not read {_kind(query)}"


def _kind(query: SearchQuery) -> str:
    return "images" if query.modality == "image" else "text"
