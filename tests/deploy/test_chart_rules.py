"""Rules and scaling formulas do what they say, on counters made up for the purpose (`tests/deploy/rules`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.chart import CHART, MODES, ROOT, Object, of_kind, rendered
from support.chart_gates import formulas

CASES = sorted((ROOT / "tests/deploy/rules").glob("*.yaml"))


def _rules(mode: str) -> list[Object]:
    return [
        one
        for rule in of_kind(rendered(mode), "PrometheusRule")
        for group in rule["spec"]["groups"]
        for one in group["rules"]
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_rules_on_synthetic_counters(case: Path, tmp_path: Path) -> None:
    assert formulas(rendered("keda-tls"), tmp_path, case) == []


def test_every_rule_has_a_case() -> None:
    cases = "".join(path.read_text() for path in CASES)
    rules = [one for mode in MODES for one in _rules(mode)]
    for name in {one["record"] for one in rules if "record" in one}:
        assert re.search(rf"\b{name}\b", cases), name
    for name in {one["alert"] for one in rules if "alert" in one}:
        assert f"name: {name} fires" in cases
        assert f"name: {name} stays quiet" in cases


def test_scaled_objects_ask_what_is_recorded_and_tested() -> None:
    recorded = {one["expr"] for one in _rules("keda-tls") if "record" in one}
    for scaler in of_kind(rendered("keda-tls"), "ScaledObject"):
        queries = [one["metadata"] for one in scaler["spec"]["triggers"] if one["type"] == "prometheus"]
        assert queries
        for query in queries:
            assert query["query"] in recorded
            assert query["ignoreNullValues"] == "false", "no answer from Prometheus would scale in"


def test_every_alert_is_in_the_runbook() -> None:
    runbook = (ROOT / "docs/deploy.md").read_text()
    headings = {line.lstrip("# ").lower() for line in runbook.splitlines() if line.startswith("#")}
    for one in (one for mode in MODES for one in _rules(mode) if "alert" in one):
        assert one["annotations"]["runbook_url"].partition("#")[2] in headings
        assert one["labels"]["severity"] in ("critical", "warning")
        assert one["annotations"]["summary"].endswith(".")


def test_the_runbook_is_about_alerts_that_exist() -> None:
    alerts = {one["alert"] for mode in MODES for one in _rules(mode) if "alert" in one}
    told = set(re.findall(r"^#+ (Searchmesh\w+)$", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE))
    assert told == alerts


def test_graphs_and_rules_are_for_releases_of_any_name() -> None:
    """No rule names a release, which dashboards and templates would then only show for one."""
    for path in (CHART / "files").rglob("*"):
        if path.is_file():
            assert "mesh-searchmesh" not in path.read_text(), path
