"""Checks of filters before any engine sees them."""

from __future__ import annotations

import math

import pytest

from searchmesh.router.index import AllOf, AnyOf, FieldType, Filter, Not, NumberIn, TagIn
from searchmesh.router.index.filters import check_filter
from searchmesh.runtime.errors import InvalidArgument

FIELDS = {"tag": FieldType.TAG, "year": FieldType.NUMBER}
DEEP: Filter = TagIn("tag", ("a",))
for _ in range(20):
    DEEP = Not(DEEP)


@pytest.mark.parametrize(
    ("filter", "field", "problem"),
    [
        (TagIn("color", ("a",)), "filter.tag.field", "'color' is not a filter field .* tag, year"),
        (TagIn("year", ("a",)), "filter.tag.field", "'year' is a number field"),
        (NumberIn("tag", gte=1), "filter.number.field", "'tag' is a tag field"),
        (TagIn("tag", ()), "filter.tag.values", "at least one value"),
        (TagIn("tag", ("a" * 513,)), "filter.tag.values", "512 bytes"),
        (NumberIn("year"), "filter.number", "at least one of"),
        (NumberIn("year", lt=math.nan), "filter.number", "not a finite number"),
        (NumberIn("year", gte=1, lt=math.inf), "filter.number", "not a finite number"),
        (AllOf(()), "filter.all", "at least one filter"),
        (AnyOf(()), "filter.any", "at least one filter"),
        (
            AllOf((TagIn("tag", ("a",)), Not(AnyOf((TagIn("x", ("a",)),))))),
            "filter.all.filters[1].not.any.filters[0].tag.field",
            "'x'",
        ),
        (DEEP, "filter.not", "nested more than"),
        (TagIn("tag", tuple(map(str, range(300)))), "filter", "more than 256"),
    ],
)
def test_a_wrong_filter_is_refused_with_the_path_of_the_condition(filter: Filter, field: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem) as caught:
        check_filter(filter, FIELDS)
    assert caught.value.field.startswith(field)


def test_a_right_filter_passes() -> None:
    check_filter(AllOf((TagIn("tag", ("a", "b")), Not(NumberIn("year", gte=1, lt=2)))), FIELDS)
