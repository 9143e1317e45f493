"""Conditions on metadata, as a small tree that every engine translates into its own language."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from searchmesh.router.index.protocol import FieldType
from searchmesh.runtime.errors import InvalidArgument

MAX_NODES = 256
"""Conditions, groups and tag values of one filter: more is a list that belongs into the documents as a tag."""

MAX_DEPTH = 16
"""Groups within groups."""

MAX_TAG_BYTES = 512
"""Of one tag value, in filters and documents."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one of the filters holds; at least one filter."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one of the filters holds; at least one filter."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not hold. Documents without the field are among them."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class TagIn:
    """The field has at least one of the values, exactly; at least one value."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NumberIn:
    """The field's number is within all bounds that are set; at least one is, and all are finite."""

    field: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None

    def bounds(self) -> list[float]:
        """The bounds that are set."""
        return [bound for bound in (self.gte, self.gt, self.lte, self.lt) if bound is not None]


Filter: TypeAlias = AllOf | AnyOf | Not | TagIn | NumberIn


def check_filter(filter: Filter, fields: Mapping[str, FieldType], *, path: str = "filter") -> None:
    """Raise InvalidArgument, with the path of the condition, unless `filter` can be asked of these fields."""
    if _check(filter, fields, path, 1) > MAX_NODES:
        raise InvalidArgument(path, f"has more than {MAX_NODES} conditions and values")


def _check(filter: Filter, fields: Mapping[str, FieldType], path: str, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise InvalidArgument(path, f"is nested more than {MAX_DEPTH} deep")
    match filter:
        case AllOf(parts) | AnyOf(parts):
            name = "all" if isinstance(filter, AllOf) else "any"
            if not parts:
                raise InvalidArgument(f"{path}.{name}", "needs at least one filter")
            return 1 + sum(
                _check(part, fields, f"{path}.{name}.filters[{number}]", depth + 1) for number, part in enumerate(parts)
            )
        case Not(inner):
            return 1 + _check(inner, fields, f"{path}.not", depth + 1)
        case TagIn(field, values):
            _check_field(f"{path}.tag.field", field, FieldType.TAG, fields)
            if not values:
                raise InvalidArgument(f"{path}.tag.values", "needs at least one value")
            if any(len(value.encode()) > MAX_TAG_BYTES for value in values):
                raise InvalidArgument(f"{path}.tag.values", f"has a value of more than {MAX_TAG_BYTES} bytes")
            return len(values)
        case NumberIn(field):
            _check_field(f"{path}.number.field", field, FieldType.NUMBER, fields)
            if not filter.bounds():
                raise InvalidArgument(f"{path}.number", "needs at least one of gte, gt, lte, lt")
            if not all(map(math.isfinite, filter.bounds())):
                raise InvalidArgument(f"{path}.number", "has a bound that is not a finite number; leave it out")
            return 1


def _check_field(path: str, field: str, wanted: FieldType, fields: Mapping[str, FieldType]) -> None:
    if field not in fields:
        known = ", ".join(sorted(fields)) or "none"
        raise InvalidArgument(path, f"{field!r} is not a filter field of the collection; there are: {known}")
    if fields[field] is not wanted:
        raise InvalidArgument(path, f"{field!r} is a {fields[field].value} field, the condition is on a {wanted.value}")
