"""A test of the tests: bugs of the kinds that charts are shipped with, each found by the gate that is there for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from support import chart_gates
from support.chart import CHART, ROOT, Object, Refused, render
from support.chart_wiring import wiring

Gate = Callable[[list[Object], Path], list[str]]

SCALING = ROOT / "tests/deploy/rules/scaling.yaml"
GATES: dict[str, Gate] = {
    "schemas": lambda objects, _: chart_gates.schemas(objects, ("1.34",)),
    "custom resources": lambda objects, _: chart_gates.custom_resources(objects),
    "queries": chart_gates.queries,
    "formulas": lambda objects, folder: chart_gates.formulas(objects, folder, SCALING),
    "restricted": lambda objects, _: chart_gates.restricted(objects),
    "wiring": lambda objects, _: wiring(objects),
}


BUGS: list[dict[str, str]] = yaml.safe_load((Path(__file__).parent / "bugs.yaml").read_text())


@pytest.mark.parametrize("bug", BUGS, ids=[bug["name"] for bug in BUGS])
def test_the_gate_finds(bug: dict[str, str], tmp_path: Path) -> None:
    mode = bug.get("mode", "keda-tls")
    chart = tmp_path / "searchmesh"
    shutil.copytree(CHART, chart)
    file = chart / "templates" / bug["file"]
    text = file.read_text()
    assert bug["right"] in text, "the bug is about text that is no longer there"
    file.write_text(text.replace(bug["right"], bug["wrong"]))
    if bug["gate"] == "rendering":
        with pytest.raises(Refused):
            render(mode, chart=chart)
    else:
        assert GATES[bug["gate"]](render(mode, chart=chart), tmp_path) != []
