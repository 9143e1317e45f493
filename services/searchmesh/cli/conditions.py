"""``--filter`` texts to filters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from searchmesh.client import Filter

_CONDITION = re.compile(r"\s*([^\s=!<>]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*", re.DOTALL)


def parse_conditions(texts: Sequence[str], fields: Mapping[str, str]) -> Filter | None:
    """All conditions together, None if there are none. `fields` gives the type of each filter field.

    ``field=value``, ``field=one,two`` (either), ``field!=value``; for numbers also ``>=``, ``>``, ``<=`` and ``<``.
    Raises InvalidArgument for what is none of these or names an unknown field.
    """
    combined: Filter | None = None
    for text in texts:
        condition = _parsed(text, fields)
        combined = condition if combined is None else combined & condition
    return combined


def _parsed(text: str, fields: Mapping[str, str]) -> Filter:
    from searchmesh.client import tag
    from searchmesh.runtime.errors import InvalidArgument

    match = _CONDITION.fullmatch(text)
    if match is None or not match[3]:
        raise InvalidArgument("--filter", f"{text!r} is not like field=value, field!=value or field>=number")
    field, operator, value = match.groups()
    if field not in fields:
        known = ", ".join(fields) or "none"
        raise InvalidArgument("--filter", f"the collection has no filter field {field!r}; it has: {known}")
    if operator in ("=", "!="):
        values = [part.strip() for part in value.split(",")]
        condition = _one_of(text, field, values) if fields[field] == "number" else tag(field, *values)
        return ~condition if operator == "!=" else condition
    if fields[field] != "number":
        raise InvalidArgument("--filter", f"{text!r}: {field} is a tag, which is compared with = or != only")
    return _bounded(field, operator, _number(text, value))


def _one_of(text: str, field: str, values: Sequence[str]) -> Filter:
    from searchmesh.client import number

    first, *others = (number(field, eq=_number(text, value)) for value in values)
    for other in others:
        first |= other
    return first


def _bounded(field: str, operator: str, bound: float) -> Filter:
    from searchmesh.client import number

    match operator:
        case ">=":
            return number(field, gte=bound)
        case ">":
            return number(field, gt=bound)
        case "<=":
            return number(field, lte=bound)
        case _:
            return number(field, lt=bound)


def _number(text: str, value: str) -> float:
    from searchmesh.runtime.errors import InvalidArgument

    try:
        return float(value)
    except ValueError:
        raise InvalidArgument("--filter", f"{text!r}: {value!r} is not a number") from None
