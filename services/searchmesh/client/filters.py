"""Conditions on metadata, put together with ``&``, ``|`` and ``~``::

tag("lang", "en", "de") & number("year", gte=2000) & ~tag("state", "draft")
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from searchmesh.runtime.errors import InvalidArgument
from searchmesh.v1 import router_pb2


class Filter(ABC):
    """A condition that a document meets or does not. Made by `tag` and `number`."""

    def __and__(self, other: Filter) -> Filter:
        return _Group("all", (*_parts(self, "all"), *_parts(other, "all")))

    def __or__(self, other: Filter) -> Filter:
        return _Group("any", (*_parts(self, "any"), *_parts(other, "any")))

    def __invert__(self) -> Filter:
        return _Not(self)

    @abstractmethod
    def to_proto(self) -> router_pb2.Filter:
        """As the wire has it."""


def tag(field: str, *values: str) -> Filter:
    """The field has at least one of the values. Raises InvalidArgument without values."""
    if not values:
        raise InvalidArgument("filter", f"tag {field!r} needs at least one value")
    return _Tag(field, values)


def number(
    field: str,
    *,
    eq: float | None = None,
    gte: float | None = None,
    gt: float | None = None,
    lte: float | None = None,
    lt: float | None = None,
) -> Filter:
    """The field's number lies within all given bounds. Raises InvalidArgument without a bound."""
    if eq is not None:
        gte = eq if gte is None else max(gte, eq)
        lte = eq if lte is None else min(lte, eq)
    if gte is None and gt is None and lte is None and lt is None:
        raise InvalidArgument("filter", f"number {field!r} needs at least one bound")
    return _Number(field, gte, gt, lte, lt)


def _parts(condition: Filter, kind: str) -> tuple[Filter, ...]:
    """What a group of `kind` holds of a condition: a & b & c is one group, not a group in a group."""
    return condition.filters if isinstance(condition, _Group) and condition.kind == kind else (condition,)


@dataclass(frozen=True)
class _Tag(Filter):
    field: str
    values: tuple[str, ...]

    def to_proto(self) -> router_pb2.Filter:
        return router_pb2.Filter(tag=router_pb2.TagCondition(field=self.field, values=self.values))


@dataclass(frozen=True)
class _Number(Filter):
    field: str
    gte: float | None
    gt: float | None
    lte: float | None
    lt: float | None

    def to_proto(self) -> router_pb2.Filter:
        condition = router_pb2.NumberCondition(field=self.field, gte=self.gte, gt=self.gt, lte=self.lte, lt=self.lt)
        return router_pb2.Filter(number=condition)


@dataclass(frozen=True)
class _Group(Filter):
    kind: str
    filters: tuple[Filter, ...]

    def to_proto(self) -> router_pb2.Filter:
        group = router_pb2.FilterGroup(filters=[part.to_proto() for part in self.filters])
        return router_pb2.Filter(all=group) if self.kind == "all" else router_pb2.Filter(any=group)


@dataclass(frozen=True)
class _Not(Filter):
    filter: Filter

    def to_proto(self) -> router_pb2.Filter:
        message = router_pb2.Filter()
        # `not` is a keyword of Python, so the field has no attribute of its name.
        getattr(message, "not").CopyFrom(self.filter.to_proto())
        return message
