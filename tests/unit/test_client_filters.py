"""Filters that are built in Python mean what their messages say."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from searchmesh.client import Filter, number, tag
from searchmesh.runtime.errors import InvalidArgument

EN = {"tag": {"field": "lang", "values": ["en"]}}
NEW = {"number": {"field": "year", "gte": 2000.0}}
DRAFT = {"tag": {"field": "state", "values": ["draft", "old"]}}


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (tag("lang", "en"), EN),
        (number("year", gte=2000), NEW),
        (number("year", eq=3), {"number": {"field": "year", "gte": 3.0, "lte": 3.0}}),
        (number("year", gt=1, lt=2), {"number": {"field": "year", "gt": 1.0, "lt": 2.0}}),
        (number("year", lte=0), {"number": {"field": "year", "lte": 0.0}}),
        (tag("lang", "en") & number("year", gte=2000), {"all": {"filters": [EN, NEW]}}),
        (
            tag("lang", "en") & number("year", gte=2000) & tag("state", "draft", "old"),
            {"all": {"filters": [EN, NEW, DRAFT]}},
        ),
        (
            tag("lang", "en") | number("year", gte=2000) & ~tag("state", "draft", "old"),
            {"any": {"filters": [EN, {"all": {"filters": [NEW, {"not": DRAFT}]}}]}},
        ),
        (~(tag("lang", "en") | number("year", gte=2000)), {"not": {"any": {"filters": [EN, NEW]}}}),
    ],
)
def test_filters_as_messages(built: Filter, expected: dict[str, object]) -> None:
    assert json_format.MessageToDict(built.to_proto()) == expected


def test_conditions_that_say_nothing_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        tag("lang")
    with pytest.raises(InvalidArgument):
        number("year")
