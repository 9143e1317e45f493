"""What a collection is made with, as it is written on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from searchmesh.client import MultiVectors, VectorSpace

_SPACE = re.compile(r"(?P<name>[^=:]+)(?:=(?P<model>[^:]+)(?::(?P<dimensions>\d+))?)?")
_MULTI_VECTORS = re.compile(r"(?P<model>[^:]+)(?::(?P<dimensions>\d+))?(?::(?P<dtype>int8|binary))?")


def parse_space(text: str) -> VectorSpace:
    """``NAME``, ``NAME=MODEL`` or ``NAME=MODEL:DIMENSIONS``. Raises InvalidArgument for anything else."""
    from searchmesh.client import VectorSpace
    from searchmesh.runtime.errors import InvalidArgument

    match = _SPACE.fullmatch(text)
    if match is None:
        raise InvalidArgument("--space", f"{text!r} is not like image=MODEL or image=MODEL:DIMENSIONS")
    return VectorSpace(match["name"], match["model"] or "", int(match["dimensions"] or 0))


def parse_multi_vectors(text: str) -> MultiVectors:
    """``MODEL`` or ``MODEL:DIMENSIONS``, then ``:int8`` or ``:binary``. Raises InvalidArgument for anything else."""
    from searchmesh.client import MultiVectors
    from searchmesh.runtime.errors import InvalidArgument

    match = _MULTI_VECTORS.fullmatch(text)
    if match is None:
        raise InvalidArgument("--multi-vectors", f"{text!r} is not like MODEL, MODEL:DIMENSIONS or MODEL:96:binary")
    dtype: Any = match["dtype"] or "int8"
    return MultiVectors(match["model"], int(match["dimensions"] or 0), dtype)


def parse_filter_fields(texts: Sequence[str]) -> dict[str, Any]:
    """``NAME`` (a tag) or ``NAME:TYPE`` each, to the types by name; the client checks the types."""
    parts = [text.partition(":") for text in texts]
    return {name: kind or "tag" for name, _, kind in parts}
